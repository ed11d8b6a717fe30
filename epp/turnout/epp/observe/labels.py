"""Label values made of what clients send: printable, short, and few."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_LABEL_LENGTH = 256
OTHER = "other"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, limit: int = MAX_LABEL_LENGTH) -> str:
    """At most ``limit`` characters of the text, with everything that is not printable replaced.

    Lone surrogates (from bytes that were no UTF-8) count as not printable, so the result can be encoded.
    """
    text = text[:limit]
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else REPLACEMENT for letter in text)


class DistinctValues:
    """Lets the first ``limit`` different values through and turns every further one into ``other``.

    A value once let through stays so for the life of the process, and one turned away stays away.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def fold(self, text: str) -> str:
        """A label value for the text. The empty string takes no room."""
        value = printable(text)
        if not value or value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class LabelSets(Generic[K, V]):
    """What is kept for each combination of labels: made when it is first asked for, and never forgotten.

    A combination is looked up as it is, then with its values folded. When ``limit`` are known, further ones share what
    is kept for their ``overflow``.
    """

    def __init__(self, limit: int, fold: Callable[[K], K], overflow: Callable[[K], K], make: Callable[[K], V]) -> None:
        self._limit = limit
        self._fold = fold
        self._overflow = overflow
        self._make = make
        self._known: dict[K, V] = {}

    def of(self, key: K) -> V:
        """What is kept for the combination."""
        return self._known.get(key) or self._folded(key)

    def _folded(self, key: K) -> V:
        folded = self._fold(key)
        found = self._known.get(folded)
        if found is None and len(self._known) >= self._limit:
            folded = self._overflow(folded)
            found = self._known.get(folded)
        if found is None:
            found = self._known[folded] = self._make(folded)
        return found
