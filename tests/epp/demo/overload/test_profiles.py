import pytest
import yaml

from epp.demo.overload.virtual_arm import run
from turnout.config import load_pipeline
from turnout.epp.demo.overload.arms import ARMS, make_load
from turnout.epp.demo.overload.engines import SLOTS
from turnout.epp.demo.overload.figures import goals, summarise
from turnout.epp.demo.overload.profiles import bounds, with_flow_control, without_flow_control
from turnout.epp.demo.overload.workload import LEVELS


def test_without_flow_control_the_same_scorers_decide_and_nothing_else() -> None:
    managed, plain = load_pipeline(with_flow_control()), load_pipeline(without_flow_control())
    assert plain.warnings == managed.warnings == ()
    assert plain.flow_control is None
    assert plain.classifiers == ()
    scorers = [
        [(each.scorer.name, each.weight) for each in pipeline.scheduler.profiles[0].scorers]
        for pipeline in (plain, managed)
    ]
    assert scorers[0] == scorers[1] == [("prefill-delay-scorer", 1.0)]
    same = [pipeline.origins["prefill-delay-scorer"].arguments for pipeline in (plain, managed)]
    assert same[0] == same[1]


def test_every_level_of_the_scenario_has_its_band_and_the_detector_leaves_slots_free() -> None:
    document = yaml.safe_load(with_flow_control())
    (limit,) = (
        each["parameters"]["maxConcurrency"] for each in document["plugins"] if each["type"] == "concurrency-detector"
    )
    assert limit == SLOTS - 2
    settings = load_pipeline(with_flow_control()).flow_control
    assert settings is not None
    assert len(settings.bands) == len(LEVELS)
    assert {band.ordering.name for band in settings.bands.values()} == {"aging-ordering-policy"}
    assert {band.fairness.name for band in settings.bands.values()} == {"round-robin-fairness-policy"}


def test_the_bounds_are_what_the_profile_says() -> None:
    promised = bounds(with_flow_control())
    assert (promised.queue, promised.first_token, promised.refusal) == (5.0, 6.0, 5.25)
    assert promised.text == "6 s (first token) or 5.25 s (refusal)"


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(without_flow_control(), id="the gate is closed"),
        pytest.param(with_flow_control().replace("defaultRequestTTL: 5s", "defaultRequestTTL: 0s"), id="no end"),
    ],
)
def test_a_wait_without_a_bound_is_an_error(profile: str) -> None:
    with pytest.raises(ValueError, match="does not bound how long a request waits"):
        bounds(profile)


@pytest.mark.parametrize("seed", [0, 1])
def test_on_virtual_time_flow_control_reaches_its_goals_and_without_it_they_are_missed(seed: int) -> None:
    load, promised = make_load(seed, 12.0), bounds(with_flow_control())
    alone, plain, managed = (summarise(load.of(arm), run(ARMS[arm](), load.of(arm)), promised) for arm in ARMS)
    assert [goal.text for goal in goals(alone, managed, promised) if not goal.reached] == []
    # Whoever waits is served before its time is over, of the lowest level most.
    assert set(managed.levels["low"].refused) == {"rejected-saturated"}
    assert managed.levels["normal"].served == managed.levels["normal"].sent
    assert plain.levels["critical"].ttft_p99 > 10 * alone.levels["critical"].ttft_p99
    assert plain.served_per_second == pytest.approx(load.capacity, rel=0.1)
