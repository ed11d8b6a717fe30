"""Takes a session's id from a header or a cookie."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, Headers, InferenceRequest, PluginName
from turnout.plugins.session_id.keys import DEFAULT_PRODUCER, MAX_SESSION_ID_CHARACTERS, SESSION_ID

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)


class SessionIdProducer:
    """Publishes the id of the request's session: the value of a header, or of a cookie whose name is matched exactly.

    Space around the id is dropped. Of several headers or cookies with the name the first counts. An id of more than
    256 characters is none.

    Raises:
        ValueError: not exactly one of ``header_name`` and ``cookie_name`` is given.
    """

    def __init__(self, header_name: str = "", cookie_name: str = "", name: PluginName = DEFAULT_NAME) -> None:
        self._header = header_name.strip().lower()
        self._cookie = cookie_name.strip()
        if bool(self._header) == bool(self._cookie):
            given = f"{header_name!r} and {cookie_name!r}"
            raise ValueError(f"header_name and cookie_name must be given one without the other, got {given}")
        self._key = SESSION_ID.of(name)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the id, empty without one."""
        headers = request.headers
        found = _cookie(headers, self._cookie) if self._cookie else headers.get(self._header) or ""
        session = found.strip()
        state.write(self._key, session if len(session) <= MAX_SESSION_ID_CHARACTERS else "")


def _cookie(headers: Headers, name: str) -> str:
    # http.cookies gives up at the first pair that it does not like, so one odd cookie would hide all behind it.
    for header in headers.all("cookie"):
        for pair in header.split(";"):
            found, equals, value = pair.partition("=")
            if equals and found.strip() == name:
                return value
    return ""
