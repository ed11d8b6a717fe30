"""What tenants were charged, for the metrics page: the largest ones by name, all the others together.

Theory of operation. A tenant without a line of its own wears down the weakest line by what it is charged, and takes it
over when nothing is left of it (Misra and Gries, 1982). What the line had counted goes to the others, so that no total
falls while its line lives.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from turnout.framework import CounterReading, Reading

OTHERS = "other"

_CHARGED = (
    "Tokens charged to a tenant at dispatch: input, and output times its weight, as far as they could be estimated."
)
_CORRECTED = "Tokens by which charges turned out too low (added) or too high (given_back)."


@dataclass(slots=True)
class _Line:
    strength: float = 0.0
    charged: float = 0.0
    added: float = 0.0
    given_back: float = 0.0

    def take(self, other: "_Line") -> None:
        self.charged += other.charged
        self.added += other.added
        self.given_back += other.given_back


class TenantTotals:
    """Totals of weighted tokens since the start; at most ``max_lines`` tenants have a line of their own."""

    def __init__(self, max_lines: int = 50) -> None:
        self._max_lines = max_lines
        self._lines: dict[str, _Line] = {}
        self._others = _Line()

    def charge(self, tenant: str, tokens: float) -> None:
        """The tenant was charged an estimate."""
        self._strengthened(tenant, tokens).charged += tokens

    def correct(self, tenant: str, tokens: float) -> None:
        """The real cost is higher by that, or lower if the number is negative."""
        line = self._lines.get(tenant, self._others)
        if tokens > 0.0:
            line.added += tokens
        else:
            line.given_back -= tokens

    def readings(self) -> Iterable[Reading]:
        """Three counters a line, in the order in which the lines began, the others last."""
        for tenant, line in (*self._lines.items(), (OTHERS, self._others)):
            labels = {"fairness_id": tenant}
            yield CounterReading("token_fairness_charged_tokens_total", _CHARGED, line.charged, labels)
            for direction, tokens in (("added", line.added), ("given_back", line.given_back)):
                shown = {**labels, "direction": direction}
                yield CounterReading("token_fairness_corrected_tokens_total", _CORRECTED, tokens, shown)

    def _strengthened(self, tenant: str, tokens: float) -> _Line:
        line = self._lines.get(tenant)
        if line is None:
            # What cannot be printed as it is might be printed as another tenant is.
            if tenant == OTHERS or not tenant.isprintable():
                return self._others
            if len(self._lines) >= self._max_lines:
                weakest = min(self._lines, key=lambda name: self._lines[name].strength)
                self._lines[weakest].strength -= tokens
                if self._lines[weakest].strength > 0.0:
                    return self._others
                self._others.take(self._lines.pop(weakest))
            line = self._lines[tenant] = _Line()
        line.strength += tokens
        return line
