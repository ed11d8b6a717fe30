"""What latency predictions add to a decision, and what it costs to learn."""

from collections.abc import Sequence

from turnout.framework import (
    Completion,
    CycleState,
    Endpoint,
    Headers,
    ProfileResult,
    Response,
    ResponseChunk,
    SchedulingResult,
    Termination,
)
from turnout.plugins.latency.producer import PredictedLatencyProducer

from .figures import Figure, Plan, in_turns
from .pools import Asked, chat_requests, default_decider, endpoints, predicting_decider

POOL_SIZES = (10, 100, 1000)
ADDED_SECONDS = {100: 1e-3}


async def latency_predictions(plan: Plan) -> list[Figure]:
    """A decision of the default profile with predictions for all candidates, against one without."""
    figures = []
    for size in POOL_SIZES:
        with_them, without = predicting_decider(size), default_decider(size)
        calls = {"with": with_them.decide, "without": without.decide}
        samples = in_turns(calls, plan.pick(5, 3), plan.pick(500, 100))
        for percent in (50, 99):
            figures.append(
                Figure(
                    "predictions",
                    f"a decision with predictions, {size:,} endpoints, p{percent}",
                    "s",
                    samples["with"].percentile(percent),
                    samples["without"].percentile(percent),
                    "no predictions",
                    ADDED_SECONDS.get(size),
                    judged="added",
                )
            )
        plan.advance(0.3)
    return [*figures, *_learning(plan)]


def _learning(plan: Plan) -> list[Figure]:
    """Of one request to 100 endpoints: prediction, dispatch, first token and end."""
    pool, asked = endpoints(100), chat_requests(2048, 1)[0]
    producer = PredictedLatencyProducer()
    calls = {"all": lambda: _follow(producer, asked, pool), "prediction": lambda: _predicted(producer, asked, pool)}
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(300, 50))
    what = "to predict at 100 endpoints, follow the request and learn, p50"
    times = (samples["all"].percentile(50), samples["prediction"].percentile(50))
    return [Figure("predictions", what, "s", *times, "the prediction alone")]


def _predicted(producer: PredictedLatencyProducer, asked: Asked, pool: Sequence[Endpoint]) -> CycleState:
    state = asked.state()
    try:
        producer.produce(asked.request, state, pool).send(None)
    except StopIteration:
        return state
    raise RuntimeError("the producer waits, and this measures no waiting")


def _follow(producer: PredictedLatencyProducer, asked: Asked, pool: Sequence[Endpoint]) -> None:
    """One streamed answer of three pieces."""
    state = _predicted(producer, asked, pool)
    result = SchedulingResult("default", {"default": ProfileResult("default", (pool[0],), ())})
    producer.pre_request(asked.request, state, result)
    response = Response(200, Headers(), result.endpoint, streaming=True)
    for place in range(3):
        state.now += 0.02
        chunk = ResponseChunk(b"data: 1\n\n", first=place == 0, last=place == 2)
        producer.response_body(asked.request, state, response, chunk)
    producer.response_complete(asked.request, state, Completion(result.endpoint, Termination.NATURAL, 200))
