"""Label values made of what clients send: printable, short, and few."""

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
