import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.flowcontrol.fakes import request
from turnout.epp.flowcontrol.entry import Entry, FlowQueue
from turnout.framework import QueuedRequest


def entry(number: int, rank: float = 0.0) -> Entry:
    made = Entry(QueuedRequest(request(str(number)), 1.0), "all", number)
    made.rank = rank
    return made


def test_an_entry_that_left_lets_its_request_go() -> None:
    made = entry(1)
    assert made.leave().request.request_id == "1"
    assert not made.queued
    with pytest.raises(ValueError, match="has left the queue"):
        _ = made.waiting


@given(ranks=st.lists(st.floats(-3, 3)), leaving=st.sets(st.integers(0, 60)))
def test_a_flow_goes_by_rank_and_then_by_arrival_whoever_leaves(ranks: list[float], leaving: set[int]) -> None:
    flow, entries = FlowQueue("a"), [entry(number, rank) for number, rank in enumerate(ranks)]
    for each in entries:
        flow.add(each)
    for each in entries:
        if each.sequence in leaving:
            flow.discard(each)
    staying = sorted((e for e in entries if e.sequence not in leaving), key=lambda e: (e.rank, e.sequence))
    assert flow.length == len(staying)
    assert set(flow) == set(staying)
    for expected in staying:
        head = flow.head()
        assert head is expected
        flow.discard(head)
    assert flow.head() is None


def test_stale_slots_do_not_pile_up() -> None:
    flow, first = FlowQueue("a"), entry(0, rank=-1.0)
    flow.add(first)
    for number in range(1, 10_000):
        each = entry(number)
        flow.add(each)
        flow.discard(each)
    assert len(flow._slots) < 50
    assert flow.head() is first
