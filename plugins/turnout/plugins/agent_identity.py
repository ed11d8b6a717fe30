"""Makes every session of an agent a flow of its own."""

from collections.abc import Sequence

from turnout.framework import DEFAULT_FAIRNESS_ID, Classification, CycleState, InferenceRequest

SESSION_HEADERS = ("x-claude-code-session-id", "x-session-affinity", "session-id", "session_id")
MAX_SESSION_ID_CHARACTERS = 256

_NOTHING_FOUND = Classification()


class AgentIdentity:
    """Takes the session id that an agent sends for the fairness id, where the client sent none.

    The first of these headers counts that has between 1 and 256 characters: ``x-claude-code-session-id``,
    ``x-session-affinity``, ``session-id``, ``session_id``, then ``additional_session_headers`` in their order.

    Raises:
        ValueError: the name of an additional header is empty.
    """

    def __init__(self, additional_session_headers: Sequence[str] = ()) -> None:
        if not all(name.strip() for name in additional_session_headers):
            raise ValueError(
                f"additional_session_headers must be names of headers, got {list(additional_session_headers)}"
            )
        additional = (name.strip().lower() for name in additional_session_headers)
        self._headers = tuple(dict.fromkeys((*SESSION_HEADERS, *additional)))

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification:
        """The session as fairness id, if there is one."""
        if request.fairness_id != DEFAULT_FAIRNESS_ID:
            return _NOTHING_FOUND
        for name in self._headers:
            session = (request.headers.get(name) or "").strip()
            if 0 < len(session) <= MAX_SESSION_ID_CHARACTERS:
                return Classification(fairness_id=session)
        return _NOTHING_FOUND
