"""Keeps the requests of a session on one endpoint.

Two strategies tell where a session is. With ``encoded_endpoint_header`` the client carries the endpoint's
name in a header that it got with an earlier response, and nothing is stored. With ``session_id`` the client
sends an id of its choice and the binding is stored here. Both only choose among candidates that are allowed
anyway, so a forged header gains its sender nothing.
"""

import base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from turnout.framework import (
    CycleState,
    Endpoint,
    InferenceRequest,
    ProfileResult,
    Response,
    SchedulingResult,
    Scores,
    StateKey,
)

Strategy: TypeAlias = Literal["encoded_endpoint_header", "session_id"]

# A Kubernetes namespace and name have at most 63 and 253 characters; base64 makes 424 of them.
MAX_TOKEN_CHARACTERS = 512
MAX_SESSION_ID_CHARACTERS = 256
MAX_SESSIONS = 100_000


@dataclass(frozen=True, slots=True)
class EncodedEndpointHeaderConfig:
    """``header`` carries the token, in requests and in responses."""

    header: str = "x-session-token"


@dataclass(frozen=True, slots=True)
class SessionIdSource:
    """``header`` is a request header that holds a session's id."""

    header: str


DEFAULT_SOURCES = (SessionIdSource("x-session-id"),)


@dataclass(frozen=True, slots=True)
class SessionIdConfig:
    """Where session ids are found, the first present one counting, and how long a binding outlives its last use."""

    sources: Sequence[SessionIdSource] = DEFAULT_SOURCES
    eviction_ttl_seconds: float = 300.0
    eviction_sweep_seconds: float = 10.0


DEFAULT_HEADER_CONFIG = EncodedEndpointHeaderConfig()
DEFAULT_SESSION_ID_CONFIG = SessionIdConfig()


class _Sessions(Protocol):
    def endpoint_of(self, request: InferenceRequest, state: CycleState) -> str | None: ...
    def dispatched(self, request: InferenceRequest, state: CycleState, result: ProfileResult) -> None: ...
    def response_headers(self, state: CycleState) -> Mapping[str, str] | None: ...


class _SessionAffinity:
    """What the filter and the scorer share: parameters, and what they learn from dispatches.

    ``profile_name`` is the profile whose endpoint a session is bound to; empty means the one that serves the request.

    Raises:
        ValueError: a header name is empty, there is no source, or a time is not positive.
    """

    def __init__(
        self,
        strategy: Strategy = "encoded_endpoint_header",
        encoded_endpoint_header_config: EncodedEndpointHeaderConfig = DEFAULT_HEADER_CONFIG,
        session_id_config: SessionIdConfig = DEFAULT_SESSION_ID_CONFIG,
        profile_name: str = "",
    ) -> None:
        _check(encoded_endpoint_header_config, session_id_config)
        self._profile_name = profile_name
        self._sessions: _Sessions
        if strategy == "session_id":
            self._sessions = _StoredSessions(session_id_config)
        else:
            self._sessions = _TokenSessions(encoded_endpoint_header_config)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Learns where the session's request goes."""
        profile = result.profiles.get(self._profile_name or result.primary)
        if profile is not None:
            self._sessions.dispatched(request, state, profile)

    def response_headers(
        self, request: InferenceRequest, state: CycleState, response: Response
    ) -> Mapping[str, str] | None:
        """The token for the client, with the strategy that uses one."""
        return self._sessions.response_headers(state)


class SessionAffinityFilter(_SessionAffinity):
    """Keeps only the endpoint that the session is bound to, if it is a candidate, else all."""

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        name = self._sessions.endpoint_of(request, state)
        if name is None:
            return endpoints
        bound = [endpoint for endpoint in endpoints if endpoint.name == name]
        return bound or endpoints


class SessionAffinityScorer(_SessionAffinity):
    """Scores the endpoint that the session is bound to 1 and all others 0."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        name = self._sessions.endpoint_of(request, state)
        return [1.0 if endpoint.name == name else 0.0 for endpoint in endpoints]


class _TokenSessions:
    """The token is ``base64("<namespace>/<name>")``. Stores nothing."""

    def __init__(self, config: EncodedEndpointHeaderConfig) -> None:
        self._header = config.header.lower()
        self._chosen_key = StateKey[str]("session-endpoint")

    def endpoint_of(self, request: InferenceRequest, state: CycleState) -> str | None:
        token = request.headers.get(self._header)
        if not token or len(token) > MAX_TOKEN_CHARACTERS:
            return None
        try:
            return base64.b64decode(token, validate=True).decode()
        except ValueError:
            # Not base64, or not UTF-8: not a token of ours.
            return None

    def dispatched(self, request: InferenceRequest, state: CycleState, result: ProfileResult) -> None:
        state.write(self._chosen_key, result.picked[0].name)

    def response_headers(self, state: CycleState) -> Mapping[str, str] | None:
        name = state.get(self._chosen_key)
        return None if name is None else {self._header: base64.b64encode(name.encode()).decode()}


class _StoredSessions:
    """Bindings by session id, at most 100,000; a binding is dropped when it was not used for its time to live."""

    def __init__(self, config: SessionIdConfig) -> None:
        self._headers = tuple(source.header.lower() for source in config.sources)
        self._ttl_seconds = config.eviction_ttl_seconds
        self._sweep_seconds = config.eviction_sweep_seconds
        self._sweep_at = 0.0
        # Endpoint name and time of expiry; as every use moves a binding to the end, the first expires first.
        self._bindings: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bindings)

    def endpoint_of(self, request: InferenceRequest, state: CycleState) -> str | None:
        name, expires_at = self._bindings.get(self._session_id(request), ("", 0.0))
        return name if name and state.now < expires_at else None

    def dispatched(self, request: InferenceRequest, state: CycleState, result: ProfileResult) -> None:
        self._sweep(state.now)
        session = self._session_id(request)
        if not session:
            return
        bound = self.endpoint_of(request, state)
        # A session moves only when its endpoint was not to be had, so that one detour does not cost its cache.
        stays = bound is not None and any(candidate.endpoint.name == bound for candidate in result.scored)
        name = bound if bound is not None and stays else result.picked[0].name
        self._bindings[session] = (name, state.now + self._ttl_seconds)
        self._bindings.move_to_end(session)
        if len(self._bindings) > MAX_SESSIONS:
            self._bindings.popitem(last=False)

    def response_headers(self, state: CycleState) -> Mapping[str, str] | None:
        return None

    def _session_id(self, request: InferenceRequest) -> str:
        session = request.headers.get(*self._headers) or ""
        return session if len(session) <= MAX_SESSION_ID_CHARACTERS else ""

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._sweep_seconds
        while self._bindings:
            session, (_, expires_at) = next(iter(self._bindings.items()))
            if now < expires_at:
                return
            del self._bindings[session]


def _check(token: EncodedEndpointHeaderConfig, session: SessionIdConfig) -> None:
    headers = {"encoded_endpoint_header_config.header": token.header}
    headers |= {f"session_id_config.sources[{at}].header": source.header for at, source in enumerate(session.sources)}
    for parameter, header in headers.items():
        if not header:
            raise ValueError(f"{parameter} must not be empty, got {header!r}")
    if not session.sources:
        raise ValueError("session_id_config.sources must have at least one source, got none")
    times = {
        "eviction_ttl_seconds": session.eviction_ttl_seconds,
        "eviction_sweep_seconds": session.eviction_sweep_seconds,
    }
    for parameter, seconds in times.items():
        if not 0.0 < seconds < float("inf"):
            raise ValueError(f"session_id_config.{parameter} must be positive and finite, got {seconds}")
