"""What a client says that its request may cost."""

import math
import re

from turnout.framework import COST_BUDGET_HEADERS, Headers

_NUMBER = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")


def stated_budget(headers: Headers) -> float | None:
    """The budget of the request in the currency of the prices; None if it states none.

    Raises:
        ValueError: it is no number from 0 on. A client that states a budget counts on it, so it is not passed over.
    """
    stated = headers.get(*COST_BUDGET_HEADERS)
    if stated is None:
        return None
    text = stated.strip()
    budget = float(text) if len(text) <= 64 and _NUMBER.fullmatch(text) else math.nan
    if not 0.0 <= budget < math.inf:
        raise ValueError(f"the cost budget must be a finite number of at least 0, got {text[:32]!r}")
    return budget
