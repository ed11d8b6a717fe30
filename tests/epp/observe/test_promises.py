from turnout.epp.observe.promises import Promises
from turnout.framework import ExtensionPoint, PluginError, SlaStatus, SlaWindow

WINDOW = SlaWindow(300.0, 0, None, 0.0)


class Reporter:
    def __init__(self, count: int = 1) -> None:
        self.count = count

    def sla_status(self, now: float) -> list[SlaStatus]:
        return [SlaStatus("t", "ttft", 99.0, now, WINDOW, WINDOW)] * self.count


class Broken:
    def sla_status(self, now: float) -> list[SlaStatus]:
        raise RuntimeError("no figures")


def test_every_plugin_that_reports_is_asked_at_this_moment() -> None:
    promises = Promises(lambda: {"mine": Reporter(), "other": object()}, lambda: 7.0, raise_it)
    assert promises.ask() == {"mine": [SlaStatus("t", "ttft", 99.0, 7.0, WINDOW, WINDOW)]}


def test_a_plugin_that_fails_is_reported_and_costs_its_own_targets_only() -> None:
    failures: list[PluginError] = []
    promises = Promises(lambda: {"broken": Broken(), "mine": Reporter()}, lambda: 7.0, failures.append)
    assert list(promises.ask()) == ["mine"]
    assert [(error.plugin, error.extension_point) for error in failures] == [("broken", ExtensionPoint.SLA_REPORT)]


def test_a_plugin_with_too_many_targets_shows_the_first() -> None:
    assert len(Promises(lambda: {"mine": Reporter(5000)}, lambda: 7.0, raise_it).ask()["mine"]) == 1000


def raise_it(error: PluginError) -> None:
    raise error
