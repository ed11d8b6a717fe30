"""How many tokens answers have: what to expect of the next, and what bytes tell of one that ended."""

from turnout.framework import InferenceRequest
from turnout.plugins.latency.learners import EWMean

ANSWERS_REMEMBERED = 0.05
# A server-sent event of vLLM with one token is about 230 bytes long, and a token of plain text about 4.5.
EVENT_BYTES, PLAIN_BYTES, PLAIN_OVERHEAD_BYTES = 230.0, 4.5, 500.0


class AnswerLengths:
    """Answers are expected to be as long as those that were seen; ``at_first`` until there are some."""

    def __init__(self, at_first: int) -> None:
        self._expected = at_first
        self._answers = EWMean(ANSWERS_REMEMBERED)

    def expected(self, request: InferenceRequest) -> int:
        """Tokens of the answer, as far as the request allows them."""
        return request.output_tokens(self._expected)

    def saw(self, tokens: int) -> None:
        """An answer had so many."""
        self._answers.update(float(tokens))
        self._expected = max(1, round(self._answers.get()))

    def estimated(self, request: InferenceRequest, events: int, seen_bytes: int, response_bytes: int) -> int:
        """Of an answer that ended: by the events that passed and the length of what did not."""
        if events > 1 or (events and response_bytes >= seen_bytes):
            return round(events * max(1.0, response_bytes / seen_bytes))
        if response_bytes <= 0:
            return self.expected(request)
        if request.stream:
            return max(1, round(response_bytes / EVENT_BYTES))
        return max(1, round((response_bytes - PLAIN_OVERHEAD_BYTES) / PLAIN_BYTES))
