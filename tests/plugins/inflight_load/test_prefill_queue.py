import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.inflight_load.prefill_queue import PrefillQueue, PrefillQueues

RATE = 1_000.0


def queue(*tokens: int, now: float = 0.0) -> PrefillQueue:
    made = PrefillQueue()
    for count in tokens:
        made.send(count, now, RATE)
    return made


@pytest.mark.parametrize(
    ("waiting", "now", "ahead"),
    [
        pytest.param(0, 0.0, 600.0, id="what was just sent is still to be computed"),
        pytest.param(0, 0.25, 350.0, id="and drains at the prefill rate"),
        pytest.param(0, 9.0, 0.0, id="until nothing is left"),
        pytest.param(1, 9.0, 300.0, id="the last one still waits"),
        pytest.param(2, 9.0, 500.0, id="the last two still wait"),
        pytest.param(3, 9.0, 600.0, id="all wait"),
        pytest.param(5, 9.0, 1_000.0, id="two of other routers wait, too, and are as long as ours"),
        pytest.param(1, 0.1, 500.0, id="the larger of both counts"),
    ],
)
def test_what_lies_ahead_is_what_waits_or_what_cannot_have_been_computed(
    waiting: int, now: float, ahead: float
) -> None:
    assert queue(100, 200, 300).ahead(waiting, now, RATE) == pytest.approx(ahead)


def test_nothing_lies_ahead_where_nothing_was_sent() -> None:
    assert PrefillQueue().ahead(7, 0.0, RATE) == 0.0


def test_a_prompt_that_ended_does_not_lie_ahead_and_ends_once() -> None:
    made = PrefillQueue()
    first, second = made.send(100, 0.0, RATE), made.send(200, 0.0, RATE)
    made.end(first)
    made.end(first)
    assert (len(made), made.ahead(1, 9.0, RATE)) == (1, 200.0)
    made.end(second)
    assert (len(made), made.ahead(0, 0.0, RATE)) == (0, 0.0)


@given(
    sent=st.lists(st.integers(0, 10_000), min_size=1, max_size=30),
    ended=st.sets(st.integers(0, 29)),
    waiting=st.integers(0, 40),
    now=st.floats(0.0, 100.0),
)
def test_at_least_what_waits_and_at_most_all_that_was_sent_lies_ahead(
    sent: list[int], ended: set[int], waiting: int, now: float
) -> None:
    made = PrefillQueue()
    prompts = [made.send(tokens, 0.0, RATE) for tokens in sent]
    for number in ended & set(range(len(sent))):
        made.end(prompts[number])
    left = [tokens for number, tokens in enumerate(sent) if number not in ended]
    ahead = made.ahead(waiting, now, RATE)
    assert len(made) == len(left)
    if left and waiting <= len(left):
        assert sum(left[len(left) - waiting :]) <= ahead <= sum(sent)


def test_only_endpoints_with_prompts_on_their_way_have_a_queue() -> None:
    queues = PrefillQueues()
    sent = queues.send([("a", 100, 10.0), ("b", 50, 10.0)], now=0.0)
    assert [queues.ahead(name, 0, 0.0, 10.0) for name in "abc"] == [100.0, 50.0, 0.0]
    queues.end(sent)
    queues.end(sent)
    assert len(queues) == 0
