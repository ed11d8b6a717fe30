import pytest

from turnout.framework import (
    Named,
    NoEndpointsError,
    PluginError,
    ProfileOutcome,
    ProfileResult,
    Scheduler,
    SchedulerProfile,
)
from turnout.framework.testing import make_endpoint, make_request, make_state
from turnout.plugins.labels import LabelSelectorFilter
from turnout.plugins.pickers import MaxScorePicker
from turnout.plugins.profile_handlers import SingleProfileHandler

ONE = make_endpoint("one")


def profile(name: str, *filters: LabelSelectorFilter) -> SchedulerProfile:
    return SchedulerProfile(name, Named(MaxScorePicker()), tuple(Named(plugin, "selector") for plugin in filters))


def test_the_one_profile_runs_once_and_decides() -> None:
    handler = SingleProfileHandler()
    outcome = ProfileResult("only", (ONE,), ())
    results: dict[str, ProfileOutcome] = {"only": outcome}
    assert handler.pick(make_request(), make_state(), ["only"], {}) == ("only",)
    assert handler.pick(make_request(), make_state(), ["only"], results) == ()
    result = handler.process_results(make_request(), make_state(), results)
    assert (result.primary, result.endpoint, result.profiles) == ("only", ONE, {"only": outcome})


def test_a_profile_without_endpoints_is_reported_as_such() -> None:
    scheduler = Scheduler([profile("only", LabelSelectorFilter({"role": "decode"}))], SingleProfileHandler())
    with pytest.raises(NoEndpointsError) as raised:
        scheduler.schedule(make_request(), make_state(), [ONE], now=0.0)
    assert (raised.value.profile, raised.value.filter) == ("only", "selector")


def test_two_profiles_are_an_error_of_the_handler() -> None:
    scheduler = Scheduler([profile("a"), profile("b")], Named(SingleProfileHandler(), "handler"))
    with pytest.raises(PluginError, match=r"'handler' .* exactly one profile, there are: a, b"):
        scheduler.schedule(make_request(), make_state(), [ONE], now=0.0)
