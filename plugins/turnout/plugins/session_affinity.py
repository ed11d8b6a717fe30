"""Keeps the requests of a session on one endpoint.

Two strategies tell where a session is. With ``encoded_endpoint_header`` the client carries the endpoint's
name in a header that it got with an earlier response, and nothing is stored. With ``session_id`` the client
sends an id of its choice, in a header or where a producer of session ids finds it, and the binding is stored
here. Both only choose among candidates that are allowed anyway, so a forged header gains its sender nothing.
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
from turnout.plugins.session_id.keys import MAX_SESSION_ID_CHARACTERS, SESSION_ID

Strategy: TypeAlias = Literal["encoded_endpoint_header", "session_id"]

# A Kubernetes namespace and name have at most 63 and 253 characters; base64 makes 424 of them.
MAX_TOKEN_CHARACTERS = 512
MAX_SESSIONS = 100_000

# What the field calls the attribute that producers of session ids publish.
SESSION_ID_ATTRIBUTE = "SessionIDDataKey"


@dataclass(frozen=True, slots=True)
class EncodedEndpointHeaderConfig:
    """``header`` carries the token, in requests and in responses."""

    header: str = "x-session-token"


@dataclass(frozen=True, slots=True)
class SessionIdSource:
    """Where a session's id is: the request header ``header``, or ``attribute`` as the plugin ``producer`` published it.

    The one attribute is ``SessionIDDataKey``; an empty ``producer`` means ``session-id-producer``.
    """

    header: str = ""
    attribute: str = ""
    producer: str = ""


DEFAULT_SOURCES = (SessionIdSource("x-session-id"),)


@dataclass(frozen=True, slots=True)
class SessionIdConfig:
    """Where session ids are found, the first that is not empty counting, and how long a binding outlives its use."""

    sources: Sequence[SessionIdSource] = DEFAULT_SOURCES
    eviction_ttl_seconds: float = 300.0
    eviction_sweep_seconds: float = 10.0


DEFAULT_HEADER_CONFIG = EncodedEndpointHeaderConfig()
DEFAULT_SESSION_ID_CONFIG = SessionIdConfig()


class _Sessions(Protocol):
    reads: tuple[StateKey[str], ...]

    def endpoint_of(self, request: InferenceRequest, state: CycleState) -> str | None: ...
    def dispatched(self, request: InferenceRequest, state: CycleState, result: ProfileResult) -> None: ...
    def response_headers(self, state: CycleState) -> Mapping[str, str] | None: ...


class _SessionAffinity:
    """What the filter and the scorer share: parameters, and what they learn from dispatches.

    ``profile_name`` is the profile whose endpoint a session is bound to; empty means the one that serves the request.

    Raises:
        ValueError: a header name is empty, there is no source, a source names not exactly one place or an attribute
            that does not exist, or a time is not positive.
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
        self.reads = self._sessions.reads

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
        self.reads: tuple[StateKey[str], ...] = ()
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
        self._places = tuple(_place(source) for source in config.sources)
        self.reads = tuple(place for place in self._places if isinstance(place, StateKey))
        self._ttl_seconds = config.eviction_ttl_seconds
        self._sweep_seconds = config.eviction_sweep_seconds
        self._sweep_at = 0.0
        # Endpoint name and time of expiry; as every use moves a binding to the end, the first expires first.
        self._bindings: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bindings)

    def endpoint_of(self, request: InferenceRequest, state: CycleState) -> str | None:
        name, expires_at = self._bindings.get(self._session_id(request, state), ("", 0.0))
        return name if name and state.now < expires_at else None

    def dispatched(self, request: InferenceRequest, state: CycleState, result: ProfileResult) -> None:
        self._sweep(state.now)
        session = self._session_id(request, state)
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

    def _session_id(self, request: InferenceRequest, state: CycleState) -> str:
        for place in self._places:
            found = state.get(place) if isinstance(place, StateKey) else request.headers.get(place)
            if found:
                return found if len(found) <= MAX_SESSION_ID_CHARACTERS else ""
        return ""

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._sweep_seconds
        while self._bindings:
            session, (_, expires_at) = next(iter(self._bindings.items()))
            if now < expires_at:
                return
            del self._bindings[session]


def _place(source: SessionIdSource) -> str | StateKey[str]:
    return source.header.lower() or SESSION_ID.of(source.producer)


def _check(token: EncodedEndpointHeaderConfig, session: SessionIdConfig) -> None:
    if not token.header:
        raise ValueError(f"encoded_endpoint_header_config.header must not be empty, got {token.header!r}")
    if not session.sources:
        raise ValueError("session_id_config.sources must have at least one source, got none")
    for at, source in enumerate(session.sources):
        _check_source(f"session_id_config.sources[{at}]", source)
    times = {
        "eviction_ttl_seconds": session.eviction_ttl_seconds,
        "eviction_sweep_seconds": session.eviction_sweep_seconds,
    }
    for parameter, seconds in times.items():
        if not 0.0 < seconds < float("inf"):
            raise ValueError(f"session_id_config.{parameter} must be positive and finite, got {seconds}")


def _check_source(place: str, source: SessionIdSource) -> None:
    if bool(source.header) == bool(source.attribute):
        given = f"{source.header!r} and {source.attribute!r}"
        raise ValueError(f"{place}: header and attribute must be given one without the other, got {given}")
    if source.attribute and source.attribute != SESSION_ID_ATTRIBUTE:
        raise ValueError(f"{place}.attribute must be {SESSION_ID_ATTRIBUTE}, got {source.attribute!r}")
    if source.producer and not source.attribute:
        raise ValueError(f"{place}.producer must be empty without an attribute, got {source.producer!r}")
