"""Requests with promises, and how they end."""

from turnout.framework import Completion, InferenceRequest, Termination, Usage
from turnout.framework.testing import make_endpoint

ENDPOINT = make_endpoint("a")


def a_request(
    *,
    level: str = "",
    objective: str = "",
    model: str = "m",
    stream: bool = True,
    ttft: float | None = None,
    tpot: float | None = None,
    received_at: float = 0.0,
) -> InferenceRequest:
    """A request with a level, an objective and targets of its own, as classifiers leave it."""
    return InferenceRequest(
        "r1",
        model,
        "served",
        level=level,
        objective=objective,
        stream=stream,
        received_at=received_at,
        ttft_target=ttft,
        tpot_target=tpot,
    )


def an_end(
    cause: Termination = Termination.NATURAL,
    status: int | None = 200,
    *,
    first: float | None = 0.2,
    duration: float | None = 1.0,
    tokens: int | None = 5,
    sent: int = 100,
) -> Completion:
    """The end of a request; ``sent`` are the bytes of the response."""
    usage = None if tokens is None else Usage(10, tokens)
    return Completion(ENDPOINT, cause, status, None, usage, first, duration, sent)
