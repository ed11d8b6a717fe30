"""Drain notices: when an endpoint is going to be taken away, as its labels say."""

import math
from datetime import UTC, datetime

DRAIN_LABEL = "turnout/drain-at"

AT_ONCE = -math.inf

_LONGEST_NOTICE = 64

# The end of the year 9999. What is above was meant in milliseconds, and would be a notice for never.
_LATEST = 253_402_300_799.0


def drain_at(stated: str | None) -> float | None:
    """When the endpoint drains, in seconds since 1970; None without a notice.

    A notice is a time with its zone as RFC 3339 has it, or seconds since 1970, which is what fits into a label of
    Kubernetes. One that is neither (``now``, ``true``) is ``AT_ONCE``: somebody wants the endpoint to drain.
    """
    if stated is None:
        return None
    text = stated.strip()[:_LONGEST_NOTICE]
    seconds = _seconds(text)
    return AT_ONCE if seconds is None else seconds


def is_readable(stated: str) -> bool:
    """Whether the notice says when; ``now`` does."""
    return stated.strip() == "now" or _seconds(stated.strip()[:_LONGEST_NOTICE]) is not None


def _seconds(text: str) -> float | None:
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        seconds = float(text)
        return seconds if seconds <= _LATEST else None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
