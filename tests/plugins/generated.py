"""Generated inputs for the contracts of plugins, and short ways to run a producer and end a request."""

import asyncio
from collections.abc import Sequence

from hypothesis import strategies as st

from turnout.framework import (
    Completion,
    CycleState,
    DataProducer,
    Endpoint,
    EndpointMetrics,
    Headers,
    InferenceRequest,
    ProfileResult,
    Response,
    ResponseChunk,
    SchedulingResult,
    ScoredEndpoint,
    Termination,
)
from turnout.framework.testing import make_endpoint

adapters = st.frozensets(st.sampled_from(["a", "b", "c", "m"]))

metrics = st.builds(
    EndpointMetrics,
    waiting_queue_size=st.integers(0, 10_000),
    running_requests=st.integers(0, 10_000),
    kv_cache_utilization=st.floats(0.0, 1.0),
    active_adapters=adapters,
    waiting_adapters=adapters,
    max_active_adapters=st.integers(0, 4),
    cache_block_size=st.sampled_from([0, 16, 64, 128]),
    cache_num_blocks=st.sampled_from([0, 1, 100]),
)

labels = st.dictionaries(st.sampled_from(["role", "zone"]), st.sampled_from(["prefill", "decode", ""]))


@st.composite
def endpoint_lists(draw: st.DrawFn) -> list[Endpoint]:
    """1 to 8 endpoints, each with its own name, labels and metrics."""
    count = draw(st.integers(1, 8))
    return [make_endpoint(f"e{i}", labels=draw(labels), metrics=draw(metrics)) for i in range(count)]


@st.composite
def scored_lists(draw: st.DrawFn) -> list[ScoredEndpoint]:
    """Candidates with weighted sums as profiles with any weights make them."""
    scores = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 5e-324, 1e300]), st.floats(-10.0, 10.0))
    return [ScoredEndpoint(endpoint, draw(scores)) for endpoint in draw(endpoint_lists())]


def produce(
    producer: DataProducer, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
) -> CycleState:
    """Runs the producer to its end and returns the state."""
    asyncio.run(producer.produce(request, state, endpoints))
    return state


def decided(endpoint: Endpoint, *others: tuple[str, Endpoint], candidates: Sequence[Endpoint] = ()) -> SchedulingResult:
    """A decision for the endpoint by the profile ``decode``, with the results of other profiles beside it."""
    scored = tuple(ScoredEndpoint(candidate, 0.0) for candidate in candidates or (endpoint,))
    results = {"decode": ProfileResult("decode", (endpoint,), scored)}
    results |= {name: ProfileResult(name, (other,), (ScoredEndpoint(other, 0.0),)) for name, other in others}
    return SchedulingResult("decode", results)


def response_of(endpoint: Endpoint) -> Response:
    """The head of a successful response."""
    return Response(200, Headers(), endpoint, streaming=True)


FIRST = ResponseChunk(b"data: 1\n\n", first=True, last=False)
LATER = ResponseChunk(b"data: 2\n\n", first=False, last=False)


def ended(endpoint: Endpoint) -> Completion:
    """A natural end."""
    return Completion(endpoint, Termination.NATURAL, 200)
