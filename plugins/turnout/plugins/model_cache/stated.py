"""What the labels of an endpoint state: lists of names, and load times."""

import math
from functools import lru_cache

LONGEST_LOAD_SECONDS = 86_400.0
"""A day; a load time beyond is a mistake."""

# Label texts; an endpoint has a few, and most endpoints have the same.
_TEXTS = 4_096


@lru_cache(maxsize=_TEXTS)
def names_in(text: str) -> frozenset[str]:
    """The names of a list such as ``a,b``: separated by commas, semicolons or white space; empty ones are dropped."""
    return frozenset(text.replace(",", " ").replace(";", " ").split())


@lru_cache(maxsize=_TEXTS)
def seconds_in(text: str) -> float | None:
    """The load time that a label states, in seconds; None unless it is a number from 0 to a day."""
    try:
        seconds = float(text[:32])
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0.0 <= seconds <= LONGEST_LOAD_SECONDS else None
