from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.topology.drawn import candidates
from plugins.topology.known import KnownTopology
from turnout.framework import CycleState, Endpoint, Quantity
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.topology.headroom_scorer import (
    GpuHeadroomScorer,
    HeadroomWeights,
    Strategy,
    ThrottlePenalties,
)
from turnout.plugins.topology.keys import TOPOLOGY, GpuState, Hardware, Place
from turnout.plugins.topology.parts import Unknown

MEMORY_ONLY = HeadroomWeights(1.0, 0.0, 0.0)
FIT_ONLY = HeadroomWeights(0.0, 0.0, 1.0)
FULL, HALF, EMPTY = (GpuState(free, 100, busy) for free, busy in ((0, 1.0), (50, 0.5), (100, 0.0)))


def scores(plugin: GpuHeadroomScorer, *known: GpuState | Hardware | None) -> Sequence[float]:
    pool = [make_endpoint(f"e{number}") for number in range(len(known))]
    named = [(endpoint.name, each) for endpoint, each in zip(pool, known, strict=True)]
    hardware = {name: each for name, each in named if isinstance(each, Hardware)}
    state = make_state()
    state.write(TOPOLOGY.of(""), KnownTopology(hardware, {n: e for n, e in named if isinstance(e, GpuState)}))
    return plugin.score(make_request(), state, pool)


def sliced(*profiles: str, memory: int | None = None) -> Hardware:
    return Hardware(Place(), mig_profiles=profiles, gpu_memory=memory)


# --- load ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param("spread", [0.0, 0.5, 1.0], id="spread: the emptiest"),
        pytest.param("pack", [1.0, 0.625, 0.25], id="pack: the fullest"),
    ],
)
def test_load_is_spread_or_packed(strategy: Strategy, expected: list[float]) -> None:
    assert scores(GpuHeadroomScorer(strategy), FULL, HALF, EMPTY) == pytest.approx(expected)


def test_memory_and_idleness_count_by_their_weights() -> None:
    plugin = GpuHeadroomScorer(weights=HeadroomWeights(3.0, 1.0, 0.0))
    assert scores(plugin, GpuState(50, 100, 1.0), GpuState(0, 100, 0.0)) == [0.375, 0.25]


@pytest.mark.parametrize("strategy", ["spread", "pack"])
def test_an_endpoint_without_the_least_room_scores_0(strategy: Strategy) -> None:
    plugin = GpuHeadroomScorer(strategy, min_free_memory=Quantity(50))
    tight, enough = scores(plugin, GpuState(49, 100, 0.5), GpuState(50, 100, 0.5))
    assert tight == 0.0
    assert enough > 0.0


def test_packing_prefers_the_fullest_that_has_room() -> None:
    plugin = GpuHeadroomScorer("pack", MEMORY_ONLY, min_free_memory=Quantity(20))
    assert scores(plugin, GpuState(10, 100), GpuState(20, 100), GpuState(100, 100)) == pytest.approx([0.0, 0.85, 0.25])


# --- slices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hardware", "score"),
    [
        pytest.param(sliced("2g.20gb"), 1.0, id="a slice that is just large enough"),
        pytest.param(sliced("3g.40gb"), 0.5, id="one twice as large"),
        pytest.param(sliced("1g.10gb"), 0.0, id="one that is too small"),
        pytest.param(sliced("1g.10gb", "7g.80gb", "3g.40gb"), 0.5, id="of several the smallest that is large enough"),
        pytest.param(sliced(memory=80_000_000_000), 0.25, id="a whole GPU"),
        pytest.param(sliced(memory=10_000_000_000), 0.0, id="a whole GPU that is too small"),
        pytest.param(sliced("half a card", memory=40_000_000_000), 0.5, id="a slice that nobody knows, by its memory"),
    ],
)
def test_a_slice_fits_by_how_much_of_it_is_wanted(hardware: Hardware, score: float) -> None:
    plugin = GpuHeadroomScorer(weights=FIT_ONLY, min_memory=Quantity(20_000_000_000))
    assert scores(plugin, hardware) == [score]


def test_without_a_demand_slices_are_no_part_of_the_score() -> None:
    state = make_state()
    known = KnownTopology({"default/a": sliced("1g.10gb")}, {"default/a": HALF})
    state.write(TOPOLOGY.of(""), known)
    assert GpuHeadroomScorer().score(make_request(), state, [make_endpoint("a")]) == [0.5]


# --- penalties -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("throttled", "score"),
    [
        pytest.param([], 1.0, id="nothing"),
        pytest.param(["power"], 0.7, id="the power limit"),
        pytest.param(["thermal"], 0.4, id="heat"),
        pytest.param(["hardware"], 0.2, id="the hardware"),
        pytest.param(["power", "thermal"], 0.28, id="two at once"),
        pytest.param(["boredom"], 1.0, id="a reason that nobody knows"),
    ],
)
def test_what_throttles_a_gpu_takes_from_its_score(throttled: list[str], score: float) -> None:
    state = GpuState(100, 100, 0.0, throttled=frozenset(throttled))
    assert scores(GpuHeadroomScorer(), state) == pytest.approx([score])


def test_penalties_are_parameters() -> None:
    plugin = GpuHeadroomScorer(throttled=ThrottlePenalties(thermal=0.0, power=1.0))
    hot, hungry = (GpuState(100, 100, 0.0, throttled=frozenset({reason})) for reason in ("thermal", "power"))
    assert scores(plugin, hot, hungry) == [0.0, 1.0]


def test_a_gpu_that_fell_off_the_bus_scores_0() -> None:
    assert scores(GpuHeadroomScorer(), GpuState(100, 100, 0.0, lost=True), HALF) == [0.0, 0.5]


# --- what is not known -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "unknown", "expected"),
    [
        pytest.param("spread", "worst", [0.5, 1.0, 0.0], id="worst, spread"),
        pytest.param("pack", "worst", [0.625, 0.25, 0.0], id="worst, packed: not as if it were full"),
        pytest.param("spread", "neutral", [0.5, 1.0, 0.75], id="neutral, spread"),
        pytest.param("pack", "neutral", [0.625, 0.25, 0.4375], id="neutral, packed"),
    ],
)
def test_what_is_not_known_counts_as_configured(strategy: Strategy, unknown: Unknown, expected: list[float]) -> None:
    plugin = GpuHeadroomScorer(strategy, unknown=unknown)
    assert scores(plugin, HALF, EMPTY, None) == pytest.approx(expected)
    assert scores(plugin, HALF, EMPTY, GpuState(None, None, None)) == pytest.approx(expected)
    # A part of which nothing is known does not take what is known of the other.
    assert scores(GpuHeadroomScorer(unknown="worst"), GpuState(None, None, 0.0)) == [0.5]


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        pytest.param("worst", [1.0, 0.0, 0.0], id="worst: too little"),
        pytest.param("neutral", [1.0, 1.0, 1.0], id="neutral: enough"),
    ],
)
def test_free_memory_that_is_not_known(unknown: Unknown, expected: list[float]) -> None:
    weights = HeadroomWeights(0.0, 1.0, 0.0)
    plugin = GpuHeadroomScorer("spread", weights, min_free_memory=Quantity(1), unknown=unknown)
    assert scores(plugin, EMPTY, GpuState(utilization=0.0), None) == expected
    # The slice fits, but whether it is full is not known.
    least = Quantity(20_000_000_000)
    plugin = GpuHeadroomScorer("spread", FIT_ONLY, min_memory=least, min_free_memory=Quantity(1), unknown=unknown)
    assert scores(plugin, sliced("2g.20gb")) == expected[-1:]


def test_without_any_topology_all_are_as_good() -> None:
    pool = [make_endpoint("a"), make_endpoint("b")]
    assert GpuHeadroomScorer().score(make_request(), make_state(), pool) == [0.5, 0.5]


@given(
    case=candidates(),
    strategy=st.sampled_from(["spread", "pack"]),
    unknown=st.sampled_from(["worst", "neutral"]),
    least=st.sampled_from([0, 2**30]),
)
def test_the_scorer_keeps_its_contract(
    case: tuple[CycleState, Sequence[Endpoint]], strategy: Strategy, unknown: Unknown, least: int
) -> None:
    state, pool = case
    plugin = GpuHeadroomScorer(strategy, min_memory=Quantity(least), min_free_memory=Quantity(least), unknown=unknown)
    check_scorer(plugin, make_request(), state, pool)


def test_the_topology_is_that_of_the_named_plugin() -> None:
    assert GpuHeadroomScorer(topology_producer_name="agents").reads == (TOPOLOGY.of("agents"),)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        pytest.param(ThrottlePenalties, {"power": 1.5}, r"power must be within \[0, 1\], got 1.5", id="a reward"),
        pytest.param(HeadroomWeights, {"idle": -1.0}, "idle must be at least 0 and finite, got -1.0", id="negative"),
        pytest.param(
            HeadroomWeights,
            {"memory": 0.0, "idle": 0.0, "slice_fit": 0.0},
            "memory, idle, slice_fit must not all be 0",
            id="nothing left",
        ),
    ],
)
def test_parameters_are_checked(kind: type, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**wrong)
