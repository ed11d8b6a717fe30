"""Prefers endpoints whose GPUs reach each other fast, and the peer of the request."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from turnout.framework import (
    PROMPT,
    CycleState,
    Endpoint,
    Histogram,
    HistogramReading,
    InferenceRequest,
    Prompt,
    Quantity,
    Reading,
    SchedulingResult,
    Scores,
)
from turnout.plugins.disagg.keys import KV_TRANSFER_SECONDS, PEER_ENDPOINT, PEER_STAGE
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES
from turnout.plugins.topology.candidates import hardware_of, routes_to
from turnout.plugins.topology.keys import (
    KV_BYTES_PER_TOKEN,
    NO_MODELS,
    TOPOLOGY,
    Hardware,
    KvTransfer,
    Topology,
)
from turnout.plugins.topology.parts import Part, Unknown, check_weights, weighted

NVLINK_4 = Quantity(450_000_000_000)
"""Bytes per second each way of the 18 NVLinks of an H100 (NVIDIA H100 data sheet: 900 GB/s both ways together)."""

DEFAULT_SCALE = timedelta(milliseconds=50)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class TopologyWeights:
    """How much of the score each part is; they need not add up to 1."""

    transfer: float = 0.5
    group_bandwidth: float = 0.3
    numa: float = 0.1
    pcie: float = 0.1

    def __post_init__(self) -> None:
        check_weights(asdict(self))


DEFAULT_WEIGHTS = TopologyWeights()


class GpuTopologyScorer:
    """Scores the weighted mean of four parts. All are on scales that do not depend on who else is a candidate, so that
    a score means the same in every request and weighs the same against other scorers:

    - ``transfer``: ``s / (s + t)``, where s is ``transfer_scale`` and t how long the KV cache of the prompt is expected
      to take between the endpoint and the peer, the one that an earlier stage picked: the latency of the way, and bytes
      by its bandwidth. Times far below the scale make no difference.
    - ``group_bandwidth``: that of the narrowest way between two GPUs of its tensor-parallel group by
      ``reference_bandwidth`` (in bytes per second), at most 1; 1 for a single GPU.
    - ``numa``: 1 if all its GPUs are on one socket, else 0.
    - ``pcie``: 1 from ``reference_pcie_generation`` on, and half as much for each generation below, as its bandwidth.

    The bytes are ``bytes_per_token``, or those of the target model in ``bytes_per_token_by_model``, for each token of
    the prompt that is not believed to be cached where it is decoded: at the peer if that was picked to decode, at the
    candidate if the peer was picked to prefill. ``prefix_match_info_producer_name`` tells what is cached; empty means
    ``approx-prefix-cache-producer``, and without it nothing is. Without a peer (of ``profile_handler_name``; empty
    means ``disagg-profile-handler``), or with one that encodes, ``transfer`` is no part of the score, and without any
    part that has a weight all score 1.

    What is not known of an endpoint is 0 with ``unknown: worst``, and with ``neutral`` the mean of the other
    candidates.

    What the transfer of a dispatched request was expected to take is measured, from the endpoint of the profile
    ``prefill_profile`` to the destination.

    Raises:
        ValueError: a weight is negative or all are 0, ``transfer_scale``, ``reference_bandwidth``,
            ``reference_pcie_generation`` or a number of bytes is not positive.
    """

    def __init__(
        self,
        weights: TopologyWeights = DEFAULT_WEIGHTS,
        transfer_scale: timedelta = DEFAULT_SCALE,
        bytes_per_token: Quantity = KV_BYTES_PER_TOKEN,
        bytes_per_token_by_model: Mapping[str, Quantity] = NO_MODELS,
        reference_bandwidth: Quantity = NVLINK_4,
        reference_pcie_generation: int = 5,
        unknown: Unknown = "neutral",
        prefill_profile: str = "prefill",
        profile_handler_name: str = "",
        topology_producer_name: str = "",
        prefix_match_info_producer_name: str = "",
    ) -> None:
        if transfer_scale <= timedelta():
            raise ValueError(f"transfer_scale must be positive, got {transfer_scale}")
        if reference_bandwidth < 1:
            raise ValueError(f"reference_bandwidth must be at least 1, got {reference_bandwidth}")
        if reference_pcie_generation < 1:
            raise ValueError(f"reference_pcie_generation must be at least 1, got {reference_pcie_generation}")
        self._weights = weights
        self._scale = transfer_scale.total_seconds()
        self._transfer = KvTransfer(bytes_per_token, bytes_per_token_by_model)
        self._bandwidth, self._generation = reference_bandwidth, reference_pcie_generation
        self._unknown = unknown
        self._prefill = prefill_profile
        self._peer_key = PEER_ENDPOINT.of(profile_handler_name)
        self._stage_key = PEER_STAGE.of(profile_handler_name)
        self._topology_key = TOPOLOGY.of(topology_producer_name)
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self.reads = (self._topology_key,)
        self.optional_reads = (PROMPT, self._matches_key)
        self._predicted = Histogram(SECONDS)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        topology = state.get(self._topology_key)
        parts = [*self._of_hardware(topology, endpoints)]
        peer = state.get(self._peer_key)
        if peer is not None and self._weights.transfer and state.get(self._stage_key) != "encode":
            seconds = self._seconds(request, state, topology, peer, endpoints)
            scale = self._scale
            values = [None if each is None else scale / (scale + each) for each in seconds]
            parts.append((self._weights.transfer, values))
        return weighted(parts, self._unknown, len(endpoints))

    def _of_hardware(self, topology: Topology | None, endpoints: Sequence[Endpoint]) -> Iterable[Part]:
        weights = self._weights
        wanted = [
            (weights.group_bandwidth, self._group_bandwidth),
            (weights.numa, _numa),
            (weights.pcie, self._pcie),
        ]
        if not any(weight for weight, _ in wanted):
            return
        known = hardware_of(topology, endpoints)
        for weight, value in wanted:
            if weight:
                yield weight, [None if hardware is None else value(hardware) for hardware in known]

    def _group_bandwidth(self, hardware: Hardware) -> float | None:
        known = hardware.group_bytes_per_second
        if known is None:
            return 1.0 if hardware.gpu_count == 1 else None
        return min(1.0, known / self._bandwidth)

    def _pcie(self, hardware: Hardware) -> float | None:
        known, full = hardware.pcie_generation, self._generation
        if known is None:
            return None
        return 1.0 if known >= full else 2.0 ** (known - full)

    # --- the way of the KV cache -------------------------------------------------------------------------

    def _seconds(
        self,
        request: InferenceRequest,
        state: CycleState,
        topology: Topology | None,
        peer: Endpoint,
        endpoints: Sequence[Endpoint],
    ) -> list[float | None]:
        """How long the transfer takes to or from each of the endpoints; None where the way is not known."""
        routes = routes_to(peer, topology, endpoints)
        uncached = self._uncached(state)
        # Which of both has a token cached matters where it is decoded.
        if state.get(self._stage_key) == "prefill":
            tokens = uncached.at_each(endpoints)
            each_token = self._transfer.size(1, request.target_model)
            return [
                0.0 if not count else None if route is None else route.seconds(count * each_token)
                for route, count in zip(routes, tokens, strict=True)
            ]
        count = uncached.at(peer.name)
        if not count:
            return [0.0] * len(endpoints)
        size = self._transfer.size(count, request.target_model)
        return [None if route is None else route.seconds(size) for route in routes]

    def _uncached(self, state: CycleState) -> UncachedRequestTokens:
        return UncachedRequestTokens(state.get(PROMPT, Prompt()).tokens, state.get(self._matches_key))

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Takes down how long the transfer is expected to take."""
        prefill, topology = result.profiles.get(self._prefill), state.get(self._topology_key)
        if prefill is None or topology is None:
            return
        sender, receiver = prefill.picked[0].name, result.endpoint.name
        route = topology.routes(sender)(receiver)
        if sender != receiver and route is not None:
            tokens = self._uncached(state).at(receiver)
            seconds = self._transfer.seconds(route, tokens, request.target_model)
            self._predicted.observe(seconds)
            state.write(KV_TRANSFER_SECONDS, seconds)

    def readings(self) -> Iterable[Reading]:
        """Expected transfers of the dispatched requests."""
        what = "Expected time of the KV cache from the endpoint that prefills to the one that decodes."
        yield HistogramReading("kv_transfer_predicted_seconds", what, self._predicted)


def _numa(hardware: Hardware) -> float | None:
    known = hardware.numa_local
    if known is None:
        return 1.0 if hardware.gpu_count == 1 else None
    return 1.0 if known else 0.0
