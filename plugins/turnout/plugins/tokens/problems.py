"""Why there are no token ids for a request."""

from typing import Literal

Reason = Literal["unconfigured", "unsupported", "refused", "skipped", "timeout", "failed"]


class NoTokenIdsError(Exception):
    """The text is what ``TokenizedPrompt.problem`` says; ``reason`` is the kind of problem.

    ``unconfigured``: no source of token ids is configured. ``unsupported``: the source cannot do this request.
    ``refused``: the source finds the request itself wrong. ``skipped``: the source failed lately and is not asked.
    ``timeout`` and ``failed``: the source did not answer in time, or not as it should.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
