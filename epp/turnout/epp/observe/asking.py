"""How plugins are asked about their own work, outside any request."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from turnout.framework import ExtensionPoint, PluginError, plugin_boundary

P = TypeVar("P")
A = TypeVar("A")


def ask_each(
    plugins: Iterable[tuple[str, P]],
    point: ExtensionPoint,
    question: Callable[[P], A],
    failed: Callable[[PluginError], None],
) -> dict[str, A]:
    """What each of the named plugins answers, by its name; one that fails has no answer and is told to ``failed``."""
    answers: dict[str, A] = {}
    for name, plugin in plugins:
        try:
            with plugin_boundary(name, point):
                answers[name] = question(plugin)
        except PluginError as error:
            failed(error)
    return answers
