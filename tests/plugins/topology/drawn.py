"""Topologies with everything that their types allow, and candidates that they know in part."""

from collections.abc import Sequence

from hypothesis import strategies as st

from plugins.topology.known import KnownTopology
from turnout.framework import PROMPT, CycleState, Endpoint, Prompt
from turnout.framework.testing import make_endpoint
from turnout.plugins.disagg.keys import PEER_ENDPOINT, PEER_STAGE, Stage
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.topology.keys import TOPOLOGY, GpuState, Hardware, Place, Reach, Route

GPU_TYPES = ("", "NVIDIA-H100-80GB-HBM3", "nvidia a100", "-", "ß" * 200, "\x00\n")
MIG_PROFILES = ("1g.10gb", "3g.40gb", "7g.80gb", "half a card", "")
STAGES: Sequence[Stage | None] = (None, "encode", "prefill", "decode")

bandwidths = st.floats(5e-324, 1e18)

routes = st.builds(
    Route,
    reach=st.sampled_from(Reach),
    bytes_per_second=bandwidths,
    latency_seconds=st.floats(0.0, 1e6),
    same_socket=st.booleans(),
    measured=st.booleans(),
)

hardware = st.builds(
    Hardware,
    place=st.just(Place()),
    gpu_type=st.sampled_from(GPU_TYPES),
    gpu_count=st.none() | st.integers(0, 16),
    gpu_memory=st.none() | st.integers(0, 2**40),
    group_bytes_per_second=st.none() | st.floats(0.0, 1e18),
    group_nvlink=st.none() | st.booleans(),
    numa_local=st.none() | st.booleans(),
    pcie_generation=st.none() | st.integers(0, 10_000),
    mig_profiles=st.lists(st.sampled_from(MIG_PROFILES), max_size=3).map(tuple),
)

gpu_states = st.builds(
    GpuState,
    memory_free=st.none() | st.integers(0, 2**40),
    memory_total=st.none() | st.integers(0, 2**40),
    utilization=st.none() | st.floats(0.0, 1.0),
    power=st.none() | st.floats(0.0, 2.0),
    throttled=st.none() | st.frozensets(st.sampled_from(["power", "thermal", "hardware", "boredom"])),
    lost=st.booleans(),
)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[CycleState, Sequence[Endpoint]]:
    """1 to 6 endpoints, and the state of a request for them: a topology or none, a peer or none, a prompt or none."""
    pool = [make_endpoint(f"e{number}") for number in range(draw(st.integers(1, 6)))]
    peer = draw(st.sampled_from([None, make_endpoint("peer"), pool[0]]))
    names = [endpoint.name for endpoint in pool]
    state = CycleState()
    if draw(st.integers(0, 9)):
        known = KnownTopology(
            draw(st.dictionaries(st.sampled_from(names), hardware)),
            draw(st.dictionaries(st.sampled_from(names), gpu_states)),
            {}
            if peer is None
            else draw(st.dictionaries(st.sampled_from([(peer.name, name) for name in names]), routes)),
        )
        state.write(TOPOLOGY.of(""), known)
    if peer is not None:
        state.write(PEER_ENDPOINT.of(""), peer)
        stage = draw(st.sampled_from(STAGES))
        if stage is not None:
            state.write(PEER_STAGE.of(""), stage)
    if draw(st.booleans()):
        state.write(PROMPT, Prompt(b"", draw(st.integers(0, 2**31))))
    if draw(st.booleans()):
        blocks = draw(st.dictionaries(st.sampled_from(names), st.integers(0, 10)))
        state.write(PREFIX_MATCHES.of(""), PrefixMatches(blocks, 10, 64))
    return state, pool
