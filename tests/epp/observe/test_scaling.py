from collections.abc import Sequence

from prometheus_client import CollectorRegistry, generate_latest

from turnout.epp.observe.scaling import MAX_ADVICE, AdviceGauges, ScalingAdvices
from turnout.framework import Endpoint, ExtensionPoint, PluginError, ScalingAdvice
from turnout.framework.testing import make_endpoint

POOL = (make_endpoint("a"), make_endpoint("b"))


class Advisor:
    def __init__(self, *advice: ScalingAdvice) -> None:
        self.advice = advice
        self.asked: list[tuple[int, float]] = []

    def scaling_advice(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[ScalingAdvice]:
        self.asked.append((len(endpoints), now))
        return self.advice


class Broken:
    def scaling_advice(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[ScalingAdvice]:
        raise RuntimeError("no idea")


def advice(group: str = "", needed: float | None = 2.5) -> ScalingAdvice:
    return ScalingAdvice(group, "tokens", 3, 2, needed, 1, 10, "load")


def asked(*plugins: Advisor | Broken, failures: list[PluginError] | None = None) -> ScalingAdvices:
    named = {f"p{number}": plugin for number, plugin in enumerate(plugins)}
    failed = (failures if failures is not None else []).append
    advices = ScalingAdvices(lambda: {**named, "other": object()}, lambda: POOL, lambda: 7.0, failed)
    advices.ask()
    return advices


def page(advices: ScalingAdvices) -> list[str]:
    registry = CollectorRegistry()
    registry.register(AdviceGauges("turnout_", advices, lambda name: "autoscaling-advisor"))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_every_advisor_is_asked_about_the_whole_pool_at_this_moment() -> None:
    plugin = Advisor(advice())
    assert asked(plugin).latest == {"p0": (advice(),)}
    assert plugin.asked == [(2, 7.0)]


def test_one_that_fails_is_reported_and_says_nothing() -> None:
    failures: list[PluginError] = []
    assert list(asked(Broken(), Advisor(), failures=failures).latest) == ["p1"]
    assert [(error.plugin, error.extension_point) for error in failures] == [("p0", ExtensionPoint.SCALING_ADVICE)]


def test_too_much_advice_is_cut() -> None:
    assert len(asked(Advisor(*[advice()] * 500)).latest["p0"]) == MAX_ADVICE


def test_looking_at_the_advice_asks_nobody() -> None:
    plugin = Advisor(advice())
    advices = asked(plugin)
    page(advices)
    page(advices)
    assert len(plugin.asked) == 1


def test_the_gauges_are_those_that_an_autoscaler_asks_for() -> None:
    labels = 'basis="tokens",group="llama\N{REPLACEMENT CHARACTER}",plugin_name="p0",plugin_type="autoscaling-advisor"'
    lines = page(asked(Advisor(advice("llama\n"))))
    assert lines == [
        f"turnout_autoscaling_desired_replicas{{{labels}}} 3.0",
        f"turnout_autoscaling_current_replicas{{{labels}}} 2.0",
        f"turnout_autoscaling_needed_replicas{{{labels}}} 2.5",
        f"turnout_autoscaling_min_replicas{{{labels}}} 1.0",
        f"turnout_autoscaling_max_replicas{{{labels}}} 10.0",
        f'turnout_autoscaling_advice{{{labels},reason="load"}} 1.0',
    ]


def test_what_is_not_known_has_no_sample() -> None:
    assert not [line for line in page(asked(Advisor(advice(needed=None)))) if "needed" in line]
    assert page(asked()) == []
