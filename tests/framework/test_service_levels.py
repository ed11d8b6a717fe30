import pytest

from turnout.framework import SlaReporter, SlaStatus, SlaWindow


def status(short: float, long: float) -> SlaStatus:
    windows = SlaWindow(300.0, 100, 0.9, short), SlaWindow(3600.0, 1000, 0.9, long)
    return SlaStatus("chat", "ttft", 99.0, 0.5, *windows)


@pytest.mark.parametrize(
    ("short", "long", "is_burning"),
    [
        pytest.param(10.0, 1.5, True, id="for long, and still"),
        pytest.param(10.0, 0.9, False, id="only a moment ago"),
        pytest.param(0.0, 5.0, False, id="no longer"),
        pytest.param(1.0, 1.0, False, id="exactly as promised"),
    ],
)
def test_a_target_burns_when_it_does_so_in_both_windows(short: float, long: float, *, is_burning: bool) -> None:
    assert status(short, long).is_burning is is_burning


def test_a_plugin_with_the_method_reports() -> None:
    class Reporter:
        def sla_status(self, now: float) -> list[SlaStatus]:
            return [status(0.0, now)]

    assert isinstance(Reporter(), SlaReporter)
    assert not isinstance(object(), SlaReporter)
