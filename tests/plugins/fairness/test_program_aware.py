from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.fairness.bands import head_of, heads, waiting
from plugins.generated import ended
from turnout.framework import GaugeReading, Usage
from turnout.framework.testing import check_fairness, check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.fairness.program_aware import ProgramAwareFairness, jains_index

A = make_endpoint("a")


def end(
    policy: ProgramAwareFairness, fairness_id: str, usage: Usage | None, now: float = 0.0, prompt: str | None = None
) -> None:
    """A request of the program ends."""
    completion = replace(ended(A), usage=usage)
    policy.response_complete(make_request(fairness_id=fairness_id), make_state(prompt, now=now), completion)


def after(*services: tuple[str, int]) -> ProgramAwareFairness:
    """The policy when these programs have got so many input tokens at time 0."""
    policy = ProgramAwareFairness()
    for fairness_id, tokens in services:
        end(policy, fairness_id, Usage(prompt_tokens=tokens))
    return policy


@pytest.mark.parametrize(
    ("policy", "enqueued_at", "expected"),
    [
        pytest.param(after(("a", 100), ("b", 50), ("c", 200)), (0.0, 0.0, 0.0), "b", id="least service"),
        pytest.param(after(("a", 100), ("b", 50)), (0.0, 0.0, 0.0), "c", id="a newcomer"),
        pytest.param(after(), (2.0, 1.0, 3.0), "b", id="nobody got anything: the longest wait"),
        pytest.param(after(), (2.0, 2.0, 2.0), "a", id="all equal: the first"),
        # a: 0.8 * (1 - 0.5) + 0.2 * 1 = 0.6; b: 0.8 * 1 + 0 = 0.8; c: 0 + 0.2 * 0.5.
        pytest.param(after(("a", 50), ("b", 0), ("c", 100)), (0.0, 10.0, 5.0), "b", id="service outweighs waiting"),
        # a: 0.8 * (1 - 0.1) + 0.2 * 1 = 0.92; b: 0.8 * 1 + 0 = 0.8.
        pytest.param(after(("a", 10), ("b", 0), ("c", 100)), (0.0, 10.0, 5.0), "a", id="unless both got much alike"),
    ],
)
def test_the_program_that_got_least_goes_next(
    policy: ProgramAwareFairness, enqueued_at: tuple[float, ...], expected: str
) -> None:
    assert check_fairness(policy, heads(*"abc", enqueued_at=enqueued_at), 20.0).fairness_id == expected


def test_weights_decide_what_counts() -> None:
    by_wait = ProgramAwareFairness(las_weight_service=0.0, las_weight_head_wait=1.0)
    end(by_wait, "a", Usage(prompt_tokens=1000))
    assert by_wait.choose(heads(*"ab"), 9.0).fairness_id == "a"
    neither = ProgramAwareFairness(las_weight_service=0.0, las_weight_head_wait=0.0)
    assert neither.choose(heads(*"ab", enqueued_at=(5.0, 4.0)), 9.0).fairness_id == "b"


def gauges(policy: ProgramAwareFairness) -> dict[tuple[str, str], float]:
    readings = list(policy.readings())
    assert all(isinstance(reading, GaugeReading) for reading in readings)
    return {
        (reading.name.removeprefix("program_aware_"), reading.labels.get("program_id", "")): reading.value
        for reading in readings
        if isinstance(reading, GaugeReading)
    }


@pytest.mark.parametrize(
    ("usage", "prompt", "expected"),
    [
        pytest.param(Usage(100, 30), None, 160.0, id="input and twice the output"),
        pytest.param(None, "x" * 400, 100.0, id="no usage: the prompt's estimate"),
        pytest.param(None, None, 0.0, id="nothing known"),
        pytest.param(Usage(-5, -5), None, 0.0, id="negative counts"),
        pytest.param(Usage(10**400, 10**400), None, 3e8, id="counts of a broken engine"),
    ],
)
def test_service_is_what_the_engine_computed(usage: Usage | None, prompt: str | None, expected: float) -> None:
    policy = ProgramAwareFairness()
    end(policy, "a", usage, prompt=prompt)
    assert gauges(policy)["attained_service_tokens", "a"] == expected


def test_service_is_forgotten_with_time() -> None:
    policy = ProgramAwareFairness(las_half_life_seconds=10.0)
    end(policy, "a", Usage(prompt_tokens=1000), now=0.0)
    end(policy, "b", Usage(prompt_tokens=300), now=20.0)
    # 1000 halved twice is less than 300.
    assert policy.choose(heads(*"ab", enqueued_at=(1.0, 1.0)), 20.0).fairness_id == "a"


def test_figures_tell_waits_service_and_how_equal_waits_are() -> None:
    policy = ProgramAwareFairness()
    check_signatures(policy)
    assert gauges(policy) == {("jains_fairness_index", ""): 1.0}
    for fairness_id, enqueued_at in (("a", 9.0), ("a", 7.0), ("b", 4.0)):
        policy.request_dispatched(waiting(fairness_id, enqueued_at), 0, 10.0)
    end(policy, "b", Usage(10, 5), now=10.0)
    # Waits of 2 and 6 s: 64 / (2 * 40).
    assert gauges(policy) == {
        ("jains_fairness_index", ""): pytest.approx(0.8),
        ("avg_wait_time_milliseconds", "a"): 2000.0,
        ("attained_service_tokens", "a"): 0.0,
        ("avg_wait_time_milliseconds", "b"): 6000.0,
        ("attained_service_tokens", "b"): 20.0,
    }


def test_a_program_whose_requests_never_waited_in_a_queue_has_no_wait() -> None:
    policy = ProgramAwareFairness()
    end(policy, "a", Usage(10, 5))
    assert set(gauges(policy)) == {("jains_fairness_index", ""), ("attained_service_tokens", "a")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], 1.0, id="nobody"),
        pytest.param([0.0, 0.0], 1.0, id="nobody waits"),
        pytest.param([3.0], 1.0, id="one alone"),
        pytest.param([2.0, 2.0, 2.0], 1.0, id="all equal"),
        pytest.param([5.0, 0.0, 0.0, 0.0], 0.25, id="one of four waits"),
        pytest.param([1e300, 1e300], 1.0, id="huge"),
        pytest.param([1e-300, 1e-300], 1.0, id="tiny"),
    ],
)
def test_jains_index_tells_how_equal_values_are(values: list[float], expected: float) -> None:
    assert jains_index(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"las_weight_service": -0.1},
            "las_weight_service must be at least 0 and finite, got -0.1",
            id="negative weight of service",
        ),
        pytest.param(
            {"las_weight_head_wait": float("inf")},
            "las_weight_head_wait must be at least 0 and finite, got inf",
            id="b",
        ),
        pytest.param(
            {"las_half_life_seconds": 0.0}, "las_half_life_seconds must be positive and finite, got 0.0", id="c"
        ),
        pytest.param(
            {"eviction_ttl_seconds": -1.0}, "eviction_ttl_seconds must be positive and finite, got -1.0", id="d"
        ),
        pytest.param(
            {"eviction_sweep_seconds": float("nan")},
            "eviction_sweep_seconds must be positive and finite, got nan",
            id="a sweep that is no number",
        ),
    ],
)
def test_parameters_have_ranges(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProgramAwareFairness(**arguments)  # type: ignore[arg-type]


@given(
    served=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-(10**6), 10**12)), max_size=10),
    flows=st.lists(st.tuples(st.text(max_size=2), st.floats(0.0, 1e9)), min_size=1, max_size=8),
    now=st.floats(0.0, 1e9),
)
def test_the_policy_keeps_its_contract(
    served: list[tuple[str, int]], flows: list[tuple[str, float]], now: float
) -> None:
    policy = after(*served)
    check_fairness(policy, [head_of(waiting(fairness_id, at)) for fairness_id, at in flows], now)


def test_turns_follow_the_service_that_requests_of_equal_size_get() -> None:
    policy, now, served = ProgramAwareFairness(), 0.0, {"big": 0, "small": 0}
    sizes = {"big": 900, "small": 100}
    for _ in range(200):
        now += 0.1
        gone = policy.choose(heads(*sizes, enqueued_at=(0.0, 0.0)), now).fairness_id
        served[gone] += sizes[gone]
        end(policy, gone, Usage(prompt_tokens=sizes[gone]), now)
    assert served["big"] == pytest.approx(served["small"], rel=0.1)
