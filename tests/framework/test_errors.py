import pytest

from turnout.framework import (
    ExtensionPoint,
    MissingStateError,
    NoEndpointsError,
    PluginError,
    PluginLoadError,
    ProtocolError,
    SchedulingError,
)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            NoEndpointsError("decode", "labels"),
            "profile 'decode' has no endpoints: filter 'labels' removed every candidate",
            id="a filter removed the last candidate",
        ),
        pytest.param(
            NoEndpointsError("decode", ""),
            "profile 'decode' has no endpoints: there were no candidates",
            id="no candidate to begin with",
        ),
        pytest.param(
            PluginError("queue", ExtensionPoint.SCORER, "it broke"),
            "plugin 'queue' failed as Scorer: it broke",
            id="a plugin",
        ),
        pytest.param(MissingStateError("prompt"), "nothing has written 'prompt' for this request", id="missing state"),
        pytest.param(PluginLoadError("x", "gone"), "plugin type 'x': gone", id="loading"),
    ],
)
def test_errors_say_what_happened_to_what(error: Exception, message: str) -> None:
    assert str(error) == message


def test_errors_have_fields() -> None:
    refused, broken = NoEndpointsError("p", "f"), PluginError("n", ExtensionPoint.FILTER, "why")
    assert (refused.profile, refused.filter) == ("p", "f")
    assert (broken.plugin, broken.extension_point, broken.problem) == ("n", ExtensionPoint.FILTER, "why")


def test_only_scheduling_fails_with_scheduling_errors() -> None:
    outcomes = (NoEndpointsError("p", "f"), PluginError("n", ExtensionPoint.FILTER, "why"), MissingStateError("k"))
    assert all(isinstance(error, SchedulingError) for error in outcomes)
    others = (ProtocolError("x"), PluginLoadError("x", "y"))
    assert not any(isinstance(error, SchedulingError) for error in others)
