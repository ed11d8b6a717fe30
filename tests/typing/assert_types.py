"""What a type checker must see; it runs as a program too. ``test_types.py`` hands it to mypy."""

from typing import assert_type

from turnout.framework import (
    PROMPT,
    AttributeKey,
    CycleState,
    Endpoint,
    KeyFamily,
    Named,
    ProfileResult,
    Prompt,
    SchedulingResult,
    ScoredEndpoint,
    Scorer,
    StateKey,
)
from turnout.plugins.queue_depth import QueueScorer

COUNT = StateKey[int]("count")
NAMES: StateKey[list[str]] = StateKey("names", producer="lister")
FAMILY: KeyFamily[float] = KeyFamily("ratio", default_producer="meter")
ZONE = AttributeKey[str]("zone")


def state_keys(state: CycleState) -> None:
    state.write(COUNT, 1)
    state.write(NAMES, ["a"])
    assert_type(state.read(COUNT), int)
    assert_type(state.read(NAMES), list[str])
    assert_type(state.get(COUNT), int | None)
    assert_type(state.get(COUNT, 0), int)
    assert_type(state.get(COUNT, "none"), int | str)
    assert_type(state.get(PROMPT), Prompt | None)
    assert_type(FAMILY.of("mine"), StateKey[float])
    assert_type(state.get(FAMILY.of("")), float | None)


def endpoints(endpoint: Endpoint) -> None:
    assert_type(endpoint.attribute(ZONE), str | None)
    assert_type(ScoredEndpoint(endpoint, 0.5).score, float)


def results(endpoint: Endpoint) -> None:
    result = SchedulingResult("p", {"p": ProfileResult("p", (endpoint,), ())})
    assert_type(result.endpoint, Endpoint)
    assert_type(result.endpoints, tuple[Endpoint, ...])
    scorer: Named[Scorer] = Named(QueueScorer(), "queue-scorer")
    assert_type(scorer.plugin, Scorer)


if __name__ == "__main__":
    one = Endpoint("default/a", "10.0.0.1", 8000)
    state_keys(CycleState())
    endpoints(one)
    results(one)
