"""How long the prompts are that endpoints get.

A DDSketch (Masson, Rim and Lee, VLDB 2019, doi:10.14778/3352063.3352135) has quantiles that are off by a bounded share
of the value. Two of them in turn cover the last one to two windows.
"""

from collections.abc import Mapping

from ddsketch import DDSketch

RELATIVE_ERROR = 0.05
LONGEST_TOKENS = 10_000_000
"""Bounds a sketch to 163 buckets, about 6 kB."""

MAX_ENDPOINTS = 1_024
"""With a distribution of their own; the pool's has all."""

QUANTILES = (0.5, 0.9, 0.99)

POOL = ""


class ContextLengths:
    """Prompt tokens by endpoint and of the pool, of the last one to two windows of so many seconds."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._turn = 0
        self._current: dict[str, DDSketch] = {}
        self._before: dict[str, DDSketch] = {}

    def add(self, endpoint: str, tokens: int, now: float) -> None:
        """A prompt of so many tokens goes to the endpoint."""
        self._advance(now)
        for name in (POOL, endpoint):
            sketch = self._current.get(name)
            if sketch is None and len(self._current) <= MAX_ENDPOINTS:
                sketch = self._current[name] = DDSketch(RELATIVE_ERROR)
            if sketch is not None:
                sketch.add(min(max(0, tokens), LONGEST_TOKENS))

    def quantiles(self, endpoint: str, now: float) -> Mapping[float, float]:
        """Tokens by quantile (0 to 1), of the endpoint or of ``POOL``; empty without prompts."""
        turn = int(now // self._window_seconds)
        generations = {self._turn: self._current, self._turn - 1: self._before}
        total = DDSketch(RELATIVE_ERROR)
        for age in (turn, turn - 1):
            sketch = generations.get(age, {}).get(endpoint)
            if sketch is not None:
                total.merge(sketch)
        found = ((quantile, total.get_quantile_value(quantile)) for quantile in QUANTILES)
        return {quantile: float(value) for quantile, value in found if value is not None}

    def _advance(self, now: float) -> None:
        turn = int(now // self._window_seconds)
        if turn > self._turn:
            self._before = self._current if turn == self._turn + 1 else {}
            self._current = {}
            self._turn = turn
