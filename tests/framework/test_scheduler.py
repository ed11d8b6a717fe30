from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pytest

from framework.fakes import Handler, Keep, Raising, Score, all_at_once, profile
from turnout.framework import (
    CycleState,
    Endpoint,
    ExtensionPoint,
    InferenceRequest,
    Named,
    NoEndpointsError,
    PluginError,
    ProfileHandler,
    ProfileOutcome,
    ProfileResult,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    Scores,
)
from turnout.framework.testing import make_endpoint, make_request, make_state

A, B, C = (make_endpoint(name) for name in "abc")
POOL = (A, B, C)


def schedule(handler: ProfileHandler, *profiles: SchedulerProfile) -> SchedulingResult:
    scheduler = Scheduler(profiles, Named(handler, "handler"))
    return scheduler.schedule(make_request(), make_state(), POOL, now=1.0)


def test_independent_profiles_of_one_round_all_have_results() -> None:
    result = schedule(all_at_once("decode", "prefill"), profile("decode", Keep("a")), profile("prefill", Keep("b")))
    assert result.primary == "decode"
    assert result.endpoint is A
    assert result.endpoints == (A,)
    assert {name: outcome.picked for name, outcome in result.profiles.items()} == {"decode": (A,), "prefill": (B,)}


def prefill_unless_a(results: Mapping[str, ProfileOutcome]) -> Sequence[str]:
    """Decode first; then prefill, unless decode chose A, which has everything cached."""
    decode = results.get("decode")
    if decode is None:
        return ["decode"]
    needed = isinstance(decode, ProfileResult) and decode.picked[0] is not A
    return ["prefill"] if needed and "prefill" not in results else []


@pytest.mark.parametrize(
    ("decode", "ran", "rounds"),
    [
        pytest.param("a", ["decode"], [[], ["decode"]], id="the first result makes prefill needless"),
        pytest.param(
            "b", ["decode", "prefill"], [[], ["decode"], ["decode", "prefill"]], id="the first result asks for prefill"
        ),
    ],
)
def test_a_profile_may_depend_on_earlier_results(decode: str, ran: list[str], rounds: list[list[str]]) -> None:
    handler = Handler(prefill_unless_a)
    result = schedule(handler, profile("prefill", Keep("c")), profile("decode", Keep(decode)))
    assert sorted(result.profiles) == ran
    assert handler.seen == rounds


def test_a_profile_without_endpoints_is_an_outcome_that_the_handler_may_accept() -> None:
    handler = all_at_once("decode", "prefill")
    result = schedule(handler, profile("decode", Keep("b")), profile("prefill", Keep("")))
    assert (result.endpoint, list(result.profiles)) == (B, ["decode"])


def test_a_refusal_of_the_primary_profile_names_profile_and_filter() -> None:
    with pytest.raises(NoEndpointsError) as raised:
        schedule(all_at_once("decode", "prefill"), profile("decode", Keep("a"), Keep("b")), profile("prefill"))
    assert (raised.value.profile, raised.value.filter) == ("decode", "decode-filter-1")


def test_a_broken_plugin_ends_the_cycle_with_its_name() -> None:
    with pytest.raises(PluginError) as raised:
        schedule(all_at_once("decode"), profile("decode", scorers=[(Raising(OSError("x")), 1.0)]))
    assert (raised.value.plugin, raised.value.extension_point) == ("decode-scorer-0", ExtensionPoint.SCORER)


def always(*names: str) -> Handler:
    return Handler(lambda _: names)


def fails(results: Mapping[str, ProfileOutcome]) -> Sequence[str]:
    raise LookupError("no idea")


@pytest.mark.parametrize(
    ("handler", "point", "problem"),
    [
        pytest.param(
            always("decoed"),
            ExtensionPoint.PROFILE_HANDLER,
            "profile 'decoed' is unknown; there are: decode, prefill",
            id="an unknown profile",
        ),
        pytest.param(
            always("decode"), ExtensionPoint.PROFILE_HANDLER, "profile 'decode' is asked for twice", id="in two rounds"
        ),
        pytest.param(
            always("decode", "decode"),
            ExtensionPoint.PROFILE_HANDLER,
            "profile 'decode' is asked for twice",
            id="in one round",
        ),
        pytest.param(Handler(fails), ExtensionPoint.PROFILE_HANDLER, "LookupError: no idea", id="raises"),
        pytest.param(
            Handler(lambda _: ()), ExtensionPoint.PROCESS_RESULTS, "KeyError: 'decode'", id="runs nothing and raises"
        ),
    ],
)
def test_a_handler_that_breaks_its_contract_is_named(handler: Handler, point: ExtensionPoint, problem: str) -> None:
    with pytest.raises(PluginError) as raised:
        schedule(handler, profile("decode"), profile("prefill"))
    error = raised.value
    assert (error.plugin, error.extension_point, error.problem) == ("handler", point, problem)


@dataclass(frozen=True)
class Deciding:
    """Runs every profile and then decides what it was told to decide."""

    decision: SchedulingResult

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return () if results else tuple(profiles)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        return self.decision


@pytest.mark.parametrize(
    ("decision", "problem"),
    [
        pytest.param(
            SchedulingResult("prefill", {}), "its primary profile 'prefill' has no result", id="without its profile"
        ),
        pytest.param(
            SchedulingResult("decode", {"decode": NoEndpointsError("decode", "")}),  # type: ignore[dict-item]
            "its primary profile 'decode' has no result",
            id="with a profile that had no endpoints",
        ),
        pytest.param(None, "AttributeError: 'NoneType' object has no attribute 'profiles'", id="nothing"),
    ],
)
def test_a_decision_without_a_destination_names_the_handler(decision: SchedulingResult, problem: str) -> None:
    with pytest.raises(PluginError) as raised:
        schedule(Deciding(decision), profile("decode"))
    error = raised.value
    assert (error.plugin, error.extension_point) == ("handler", ExtensionPoint.PROCESS_RESULTS)
    assert error.problem == problem


def test_a_handler_that_yields_its_profiles_comes_to_an_end() -> None:
    def choose(results: Mapping[str, ProfileOutcome]) -> Sequence[str]:
        return (name for name in ("decode",) if not results)  # type: ignore[return-value]

    assert schedule(Handler(choose), profile("decode")).primary == "decode"


def test_a_handler_may_keep_the_results_it_was_shown() -> None:
    kept: list[Mapping[str, ProfileOutcome]] = []

    def choose(results: Mapping[str, ProfileOutcome]) -> Sequence[str]:
        kept.append(results)
        return prefill_unless_a(results)

    schedule(Handler(choose), profile("decode", Keep("b")), profile("prefill"))
    assert [sorted(results) for results in kept] == [[], ["decode"], ["decode", "prefill"]]


class TellsTheTime:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        self.seen.append(state.now)
        return [0.0] * len(endpoints)


def test_the_time_of_the_cycle_is_the_one_passed_in() -> None:
    clock = TellsTheTime()
    scheduler = Scheduler([profile("decode", scorers=[(clock, 1.0)])], all_at_once("decode"))
    for now in (7.0, 8.5):
        scheduler.schedule(make_request(), make_state(now=1.0), POOL, now)
    assert clock.seen == [7.0, 8.5]


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        pytest.param([], "given: none", id="no profile"),
        pytest.param([profile("a"), profile("b"), profile("a")], "given: a, b, a", id="one name twice"),
    ],
)
def test_profiles_need_names_of_their_own(profiles: list[SchedulerProfile], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scheduler(profiles, all_at_once("a"))


def test_a_scheduler_shows_what_it_runs() -> None:
    first, second, handler = profile("a"), profile("b"), all_at_once("a")
    scheduler = Scheduler([first, second], handler)
    assert scheduler.profiles == (first, second)
    assert scheduler.profile_handler == Named(handler, "Handler")


def test_cycles_leave_nothing_behind() -> None:
    scheduler = Scheduler([profile("decode", scorers=[(Score([0.0, 1.0, 0.0]), 1.0)])], all_at_once("decode"))
    first = scheduler.schedule(make_request(), make_state(), POOL, now=1.0)
    again = scheduler.schedule(make_request(), make_state(), POOL, now=1.0)
    assert first == again
