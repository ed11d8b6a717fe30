"""Tiers of memory that engines keep blocks in, and what a block there is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

EXPECTED = "expected"
"""The tier of blocks that no engine has confirmed: they were sent there a moment ago."""


@dataclass(frozen=True, slots=True)
class CacheBackend:
    """One tier: ``name`` is the medium that engines call it by, in any case; ``weight`` what a block there is worth.

    A block in graphics memory is worth 1; one that has to be copied from host memory first, a little less.
    """

    name: str
    weight: float


DEFAULT_BACKENDS = (CacheBackend("gpu", 1.0), CacheBackend("cpu", 0.8))


class Tiers:
    """Numbers the tiers; the last one is that of expected blocks.

    Raises:
        ValueError: there is no tier, a name is empty or there twice, or a weight is not within [0, 1].
    """

    def __init__(self, backends: Sequence[CacheBackend]) -> None:
        names = [backend.name.strip().upper() for backend in backends]
        if not names:
            raise ValueError("must have at least one entry, got none")
        for name, backend in zip(names, backends, strict=True):
            if not name or names.count(name) > 1:
                raise ValueError(f"names must be distinct and not empty, got {backend.name!r}")
            if not 0.0 <= backend.weight <= 1.0:
                raise ValueError(f"the weight of {backend.name!r} must be within [0, 1], got {backend.weight}")
        self.weights = (*(backend.weight for backend in backends), 1.0)
        self.expected = len(names)
        self._numbers = {name: number for number, name in enumerate(names)}

    def of(self, medium: str) -> int | None:
        """The number of the tier that engines call so (upper case), or None if it is not configured."""
        return self._numbers.get(medium)
