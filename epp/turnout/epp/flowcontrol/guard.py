"""Calls policies so that one that fails costs its own say, and not a request."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from turnout.framework import ExtensionPoint, Named, PluginError, SchedulingError, plugin_boundary

T = TypeVar("T")
P = TypeVar("P")


class Guard:
    """``report`` hears of every failure; it neither blocks nor raises."""

    def __init__(self, report: Callable[[PluginError], None]) -> None:
        self._report = report

    def ask(self, named: Named[P], point: ExtensionPoint, call: Callable[[P], T], instead: T) -> T:
        """What the policy answers, or ``instead`` after reporting that it failed."""
        try:
            with plugin_boundary(named.name, point):
                return call(named.plugin)
        except PluginError as error:
            self._report(error)
        except SchedulingError as error:
            self._report(PluginError(named.name, point, f"raised {type(error).__name__}, which is not its to raise"))
        return instead


def a_number(value: float) -> float:
    """The value, if a heap can order it.

    Raises:
        ValueError: it is NaN.
    """
    if math.isnan(value):
        raise ValueError("it answered NaN")
    return value


def as_many(values: Sequence[float], count: int) -> Sequence[float]:
    """The values, if there are as many as were asked for.

    Raises:
        ValueError: there are more or fewer, or one is NaN.
    """
    if len(values) != count:
        raise ValueError(f"it answered {len(values)} values where {count} were asked for")
    if any(map(math.isnan, values)):
        raise ValueError("it answered NaN")
    return values
