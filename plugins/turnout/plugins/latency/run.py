"""A request on its way: what was predicted of it, and whose work it is until it ends.

Theory of operation. Where another endpoint prefills, the prompt is that one's work until the first token, and the
destination only computes its last token, in a step of its own. The first token then comes after the TTFT of the one
that prefills, the transfer of the KV cache and that step. So what the step and the transfer are predicted to take is
left out when the endpoint that prefills is judged. Where nobody predicts transfers, theirs counts as its time.
"""

from dataclasses import dataclass

from turnout.plugins.latency.predictor import Predictor, Row, Site
from turnout.plugins.latency.predictor_servers import Followed


@dataclass(slots=True)
class Run:
    """Times are in seconds. ``prefill`` is where another endpoint than the destination computes the prompt."""

    number: int
    site: Site
    row: Row
    context_tokens: float
    sent_at: float
    prefill: tuple[Site, Row] | None = None
    followed: Followed | None = None
    first_token_at: float | None = None
    events: int = 0
    seen_bytes: int = 0

    @property
    def ttft_seconds(self) -> float:
        """The TTFT that was predicted of the request as it is served."""
        if self.prefill is None:
            return self.row.prediction.ttft_seconds
        return self.prefill[1].prediction.ttft_seconds + self.row.prediction.tpot_seconds

    def begin(self, tokens: int, *, shows_first_token: bool) -> None:
        """Counts the work, of an answer of so many tokens."""
        duration = self.ttft_seconds + tokens * self.row.prediction.tpot_seconds
        own = self.row.load_seconds
        if self.prefill is None:
            own += self.row.prefill_seconds
        else:
            site, row = self.prefill
            site.work.send(
                self.number,
                row.load_seconds + row.prefill_seconds,
                row.prediction.ttft_seconds,
                0.0,
                self.sent_at,
                shows_first_token=shows_first_token,
            )
        self.site.work.send(
            self.number, own, duration, self.context_tokens, self.sent_at, shows_first_token=shows_first_token
        )

    def first_token(self, predictor: Predictor, now: float, transfer_seconds: float = 0.0) -> None:
        """The prompt is computed, and was expected to be on its way for so long; who computed it is learnt about."""
        self.first_token_at = now
        self.site.work.first_token(self.number, now)
        seconds = now - self.sent_at
        if self.prefill is None:
            predictor.saw_ttft(self.site, self.row, seconds)
            return
        site, row = self.prefill
        site.work.end(self.number, 0.0, now)
        # Faster than step and transfer alone: it was not served as was decided.
        if (own := seconds - self.row.prediction.tpot_seconds - transfer_seconds) > 0.0:
            predictor.saw_ttft(site, row, own)

    def end(self, now: float) -> None:
        """No work is left, however it ended."""
        if self.prefill is not None:
            self.prefill[0].work.end(self.number, 0.0, now)
        self.site.work.end(self.number, self.context_tokens, now)
