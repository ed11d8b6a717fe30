from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided
from plugins.topology.drawn import candidates
from plugins.topology.known import KnownTopology
from turnout.framework import PROMPT, CycleState, Endpoint, Histogram, HistogramReading, Prompt, Quantity
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.disagg.keys import PEER_ENDPOINT, PEER_STAGE, Stage
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.topology.keys import TOPOLOGY, Hardware, Place, Reach, Route
from turnout.plugins.topology.parts import Unknown
from turnout.plugins.topology.topology_scorer import GpuTopologyScorer, TopologyWeights

PEER = make_endpoint("peer")
TRANSFER_ONLY = TopologyWeights(1.0, 0.0, 0.0, 0.0)
BYTES = Quantity(1_000)
MB = 1e6
"""The KV cache of a prompt of 1,000 tokens, of that many bytes each."""


def way(bytes_per_second: float, latency: float = 0.0) -> Route:
    return Route(Reach.RACK, bytes_per_second, latency)


def with_peer(ways: Mapping[str, Route], stage: Stage | None = "decode") -> CycleState:
    state = make_state()
    state.write(TOPOLOGY.of(""), KnownTopology(ways={("default/peer", f"default/{n}"): r for n, r in ways.items()}))
    state.write(PROMPT, Prompt(b"", 1_000))
    state.write(PEER_ENDPOINT.of(""), PEER)
    if stage is not None:
        state.write(PEER_STAGE.of(""), stage)
    return state


def on(*hardware: Hardware) -> tuple[CycleState, list[Endpoint]]:
    """A state without a peer, and an endpoint for each; one of which nothing is known comes last."""
    state, pool = make_state(), [make_endpoint(f"e{number}") for number in range(len(hardware) + 1)]
    known = {endpoint.name: each for endpoint, each in zip(pool, hardware, strict=False)}
    state.write(TOPOLOGY.of(""), KnownTopology(known))
    return state, pool


def scores(plugin: GpuTopologyScorer, state: CycleState, names: Sequence[str]) -> Sequence[float]:
    return plugin.score(make_request(), state, [make_endpoint(name) for name in names])


# --- the transfer ----------------------------------------------------------------------------------------


def test_the_longer_the_transfer_takes_by_the_scale_the_less() -> None:
    plugin = GpuTopologyScorer(TRANSFER_ONLY, bytes_per_token=BYTES)
    state = with_peer({"nvlink": way(MB / 1e-6), "even": way(MB / 0.05), "slow": way(MB / 0.1, 0.05)})
    found = scores(plugin, state, ["nvlink", "even", "slow", "peer"])
    assert found == pytest.approx([0.99998, 0.5, 0.25, 1.0])


def test_the_scale_says_which_times_matter() -> None:
    plugin = GpuTopologyScorer(TRANSFER_ONLY, timedelta(seconds=1), BYTES)
    assert scores(plugin, with_peer({"a": way(MB), "b": way(MB / 3)}), ["a", "b"]) == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        pytest.param("decode", [0.75, 0.75, 1.0], id="the peer decodes: what it has cached is sent by nobody"),
        pytest.param("prefill", [0.5, 0.6, 1.0], id="the candidate decodes: each needs what it has not cached"),
        pytest.param(None, [0.75, 0.75, 1.0], id="nobody says: as if the peer decodes"),
        pytest.param("encode", [1.0, 1.0, 1.0], id="a peer that encodes sends no KV cache"),
    ],
)
def test_only_tokens_that_are_not_cached_where_they_are_decoded_are_sent(
    stage: Stage | None, expected: list[float]
) -> None:
    state = with_peer({"cold": way(MB / 0.05), "warm": way(MB / 0.05)}, stage)
    blocks = {"default/peer": 20, "default/warm": 10}
    state.write(PREFIX_MATCHES.of(""), PrefixMatches(blocks, 30, 33))
    plugin = GpuTopologyScorer(TRANSFER_ONLY, bytes_per_token=BYTES)
    # 20 blocks of 33 tokens leave 340 of 1,000, 10 leave 670.
    assert scores(plugin, state, ["cold", "warm", "peer"]) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("stage", ["decode", "prefill"])
def test_where_all_is_cached_the_way_does_not_matter(stage: Stage) -> None:
    state = with_peer({"near": way(1e12)}, stage)
    everywhere = {f"default/{name}": 10 for name in ("peer", "near", "dark")}
    state.write(PREFIX_MATCHES.of(""), PrefixMatches(everywhere, 10, 100))
    plugin = GpuTopologyScorer(TRANSFER_ONLY, unknown="worst")
    assert scores(plugin, state, ["near", "dark"]) == [1.0, 1.0]


@pytest.mark.parametrize("stage", ["decode", "prefill"])
def test_models_have_their_own_bytes_for_each_token(stage: Stage) -> None:
    plugin = GpuTopologyScorer(
        TRANSFER_ONLY, bytes_per_token=BYTES, bytes_per_token_by_model={"large": Quantity(3_000)}
    )
    state, pool = with_peer({"a": way(MB / 0.05)}, stage), [make_endpoint("a")]
    assert plugin.score(make_request(model="m"), state, pool) == pytest.approx([0.5])
    assert plugin.score(make_request(model="large"), state, pool) == pytest.approx([0.25])


def test_by_default_a_token_is_that_of_a_model_of_8b() -> None:
    state = with_peer({"a": way(131_072_000 / 0.05)})
    assert scores(GpuTopologyScorer(TRANSFER_ONLY), state, ["a"]) == pytest.approx([0.5])


def test_without_a_peer_the_other_parts_are_the_whole_score() -> None:
    state, pool = on(Hardware(Place(), numa_local=True), Hardware(Place(), numa_local=False))
    assert GpuTopologyScorer(TopologyWeights(0.9, 0.0, 0.1, 0.0)).score(make_request(), state, pool[:2]) == [1.0, 0.0]
    assert GpuTopologyScorer(TRANSFER_ONLY).score(make_request(), state, pool) == [1.0, 1.0, 1.0]


# --- the hardware ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "hardware", "score"),
    [
        pytest.param((0, 1, 0, 0), {"group_bytes_per_second": 4.5e11}, 1.0, id="NVLink of an H100"),
        pytest.param((0, 1, 0, 0), {"group_bytes_per_second": 9e11}, 1.0, id="faster than the reference"),
        pytest.param((0, 1, 0, 0), {"group_bytes_per_second": 4.5e10}, 0.1, id="a tenth"),
        pytest.param((0, 1, 0, 0), {"gpu_count": 1}, 1.0, id="one GPU waits for no other"),
        pytest.param((0, 1, 0, 0), {"gpu_count": 2}, 0.0, id="two GPUs, nobody knows"),
        pytest.param((0, 0, 1, 0), {"numa_local": True}, 1.0, id="one socket"),
        pytest.param((0, 0, 1, 0), {"numa_local": False}, 0.0, id="two sockets"),
        pytest.param((0, 0, 1, 0), {"gpu_count": 1}, 1.0, id="one GPU is on one socket"),
        pytest.param((0, 0, 1, 0), {"gpu_count": 8}, 0.0, id="eight GPUs, nobody knows"),
        pytest.param((0, 0, 0, 1), {"pcie_generation": 6}, 1.0, id="PCIe 6"),
        pytest.param((0, 0, 0, 1), {"pcie_generation": 5}, 1.0, id="PCIe 5"),
        pytest.param((0, 0, 0, 1), {"pcie_generation": 4}, 0.5, id="PCIe 4"),
        pytest.param((0, 0, 0, 1), {"pcie_generation": 3}, 0.25, id="PCIe 3"),
        pytest.param((0, 0, 0, 1), {}, 0.0, id="PCIe, nobody knows"),
        pytest.param((9, 3, 2, 5), {"group_bytes_per_second": 4.5e11, "pcie_generation": 4}, 0.55, id="all of them"),
    ],
)
def test_each_part_has_a_scale_of_its_own(
    weights: tuple[float, float, float, float], hardware: dict[str, Any], score: float
) -> None:
    state, pool = on(Hardware(Place(), **hardware))
    plugin = GpuTopologyScorer(TopologyWeights(*weights), unknown="worst")
    assert plugin.score(make_request(), state, pool[:1]) == pytest.approx([score])


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        pytest.param("worst", [1.0, 0.5, 0.0], id="worst"),
        pytest.param("neutral", [1.0, 0.5, 0.75], id="neutral: as the others on average"),
    ],
)
def test_what_is_not_known_counts_as_configured(unknown: Unknown, expected: list[float]) -> None:
    state, pool = on(Hardware(Place(), pcie_generation=5), Hardware(Place(), pcie_generation=4))
    plugin = GpuTopologyScorer(TopologyWeights(0.0, 0.0, 0.0, 1.0), unknown=unknown)
    assert plugin.score(make_request(), state, pool) == expected
    transfer = GpuTopologyScorer(TRANSFER_ONLY, bytes_per_token=BYTES, unknown=unknown)
    found = scores(transfer, with_peer({"a": way(1e30), "b": way(MB / 0.05)}), ["a", "b", "dark"])
    assert found == pytest.approx(expected)


def test_without_any_topology_all_are_as_good() -> None:
    plugin = GpuTopologyScorer()
    assert scores(plugin, make_state(), ["a", "b"]) == pytest.approx([0.5, 0.5])


@given(case=candidates(), unknown=st.sampled_from(["worst", "neutral"]))
def test_the_scorer_keeps_its_contract(case: tuple[CycleState, Sequence[Endpoint]], unknown: Unknown) -> None:
    state, pool = case
    check_scorer(GpuTopologyScorer(unknown=unknown), make_request(), state, pool)


@given(case=candidates())
def test_a_score_does_not_depend_on_who_else_is_a_candidate(case: tuple[CycleState, Sequence[Endpoint]]) -> None:
    state, pool = case
    plugin = GpuTopologyScorer(unknown="worst")
    alone = [plugin.score(make_request(), state, [endpoint])[0] for endpoint in pool]
    assert plugin.score(make_request(), state, pool) == alone


# --- what was expected of dispatched requests ------------------------------------------------------------


def to_itself() -> CycleState:
    """A topology that knows a way from an endpoint to itself."""
    state = with_peer({})
    state.write(TOPOLOGY.of(""), KnownTopology(ways={("default/a", "default/a"): way(1e9)}))
    return state


def predicted(plugin: GpuTopologyScorer) -> Histogram:
    (reading,) = plugin.readings()
    assert isinstance(reading, HistogramReading)
    assert reading.name == "kv_transfer_predicted_seconds"
    return reading.histogram


def test_the_expected_transfer_of_a_dispatched_request_is_measured_by_what_its_destination_has_cached() -> None:
    state = with_peer({"a": way(MB / 0.5, 0.001)}, "prefill")
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({"default/a": 5}, 10, 100))
    plugin = GpuTopologyScorer(bytes_per_token=BYTES)
    plugin.pre_request(make_request(), state, decided(make_endpoint("a"), ("prefill", PEER)))
    assert predicted(plugin).total == pytest.approx(0.251)
    assert sum(predicted(plugin).counts) == 1


@pytest.mark.parametrize(
    ("state", "others"),
    [
        pytest.param(with_peer({"a": way(1e9)}), [], id="one endpoint does it all"),
        pytest.param(with_peer({"a": way(1e9)}), [("encode", PEER)], id="the other one encodes"),
        pytest.param(to_itself(), [("prefill", make_endpoint("a"))], id="both are one"),
        pytest.param(with_peer({}), [("prefill", PEER)], id="a way that nobody knows"),
        pytest.param(make_state(), [("prefill", PEER)], id="no topology"),
    ],
)
def test_where_nothing_is_sent_or_known_nothing_is_measured(
    state: CycleState, others: Sequence[tuple[str, Endpoint]]
) -> None:
    plugin = GpuTopologyScorer()
    plugin.pre_request(make_request(), state, decided(make_endpoint("a"), *others))
    assert sum(predicted(plugin).counts) == 0


def test_the_profile_that_prefills_may_have_another_name() -> None:
    plugin = GpuTopologyScorer(prefill_profile="p")
    plugin.pre_request(make_request(), with_peer({"a": way(1e9)}), decided(make_endpoint("a"), ("p", PEER)))
    assert sum(predicted(plugin).counts) == 1


def test_what_is_read_is_of_the_named_plugins() -> None:
    plugin = GpuTopologyScorer(topology_producer_name="agents", prefix_match_info_producer_name="precise")
    assert plugin.reads == (TOPOLOGY.of("agents"),)
    assert plugin.optional_reads == (PROMPT, PREFIX_MATCHES.of("precise"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"transfer_scale": timedelta()}, "transfer_scale must be positive, got 0:00:00", id="scale"),
        pytest.param({"reference_bandwidth": Quantity(0)}, "reference_bandwidth must be at least 1, got 0", id="rate"),
        pytest.param(
            {"reference_pcie_generation": 0}, "reference_pcie_generation must be at least 1, got 0", id="generation"
        ),
        pytest.param({"bytes_per_token": Quantity(0)}, "bytes_per_token must be at least 1, got 0", id="bytes"),
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GpuTopologyScorer(**wrong)


def test_weights_are_checked() -> None:
    with pytest.raises(ValueError, match="numa must be at least 0 and finite, got -1"):
        TopologyWeights(numa=-1.0)
    with pytest.raises(ValueError, match="transfer, group_bandwidth, numa, pcie must not all be 0"):
        TopologyWeights(0.0, 0.0, 0.0, 0.0)
