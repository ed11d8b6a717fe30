from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.generated import decided
from plugins.token_fairness.queue_driver import ENDPOINT, Job, QueueDriver
from turnout.framework import PROMPT, CycleState, InferenceRequest, Prompt, QueuedRequest
from turnout.framework.testing import check_ordering
from turnout.plugins.token_fairness.longest_prefix_ordering import LongestPrefixOrderingPolicy
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy

REQUEST = InferenceRequest("r", target_model="m")


def item_of(data: bytes, now: float) -> QueuedRequest:
    state = CycleState(now)
    state.write(PROMPT, Prompt(data, len(data) // 4))
    return QueuedRequest(REQUEST, now, state=state)


def ordering(*sent: bytes, seconds: float = 5.0) -> LongestPrefixOrderingPolicy:
    policy = LongestPrefixOrderingPolicy(timedelta(seconds=seconds))
    for data in sent:
        policy.pre_request(REQUEST, item_of(data, 0.0).state, decided(ENDPOINT))
    return policy


@pytest.mark.parametrize(
    ("data", "rank"),
    [
        pytest.param(b"x" * 2048, 95.0, id="all of it is known"),
        pytest.param(b"x" * 1024 + b"y" * 1024, 97.5, id="half of it"),
        pytest.param(b"y" * 2048, 100.0, id="nothing of it"),
        pytest.param(b"", 100.0, id="there is no prompt"),
    ],
)
def test_what_is_known_of_a_prompt_brings_it_forward(data: bytes, rank: float) -> None:
    assert ordering(b"x" * 2048).rank(item_of(data, 100.0), 100.0) == rank


def test_without_an_advance_the_order_is_that_of_arrival() -> None:
    assert ordering(b"x" * 2048, seconds=0.0).rank(item_of(b"x" * 2048, 100.0), 100.0) == 100.0


def test_a_request_without_any_body_ranks_by_its_arrival() -> None:
    assert ordering().rank(QueuedRequest(REQUEST, 7.0), 7.0) == 7.0


@settings(max_examples=300)
@given(
    steps=st.lists(st.sampled_from([*[("arrive", kind) for kind in range(6)], *[("dispatch", 0)] * 4]), max_size=150),
    seconds=st.sampled_from([0, 3, 20]),
)
def test_nobody_is_overtaken_by_one_that_came_later_by_the_advance_or_more(
    steps: list[tuple[str, int]], seconds: int
) -> None:
    driver = QueueDriver(TokenFairnessPolicy(), LongestPrefixOrderingPolicy(timedelta(seconds=seconds)))
    left: list[Job] = []
    for action, kind in steps:
        if action == "arrive":
            driver.arrive("a", data=bytes([kind]) * 1024 * kind)
        elif job := driver.dispatch():
            left.append(job)
            waiting = driver.flows.get("a", [])
            overtaken = [each for each in waiting if each.sequence < job.sequence]
            assert all(job.item.enqueued_at - each.item.enqueued_at < seconds for each in overtaken)
    assert len(left) == len({job.sequence for job in left})


def test_requests_of_one_tenant_that_begin_alike_come_together() -> None:
    driver = QueueDriver(TokenFairnessPolicy(), LongestPrefixOrderingPolicy(timedelta(seconds=60)))
    driver.arrive("a", data=b"x" * 4096)
    driver.dispatch()
    for kind in (b"y", b"x", b"z", b"x", b"y", b"x"):
        driver.arrive("a", data=kind * 4096)
    order = []
    for _ in range(6):
        job = driver.dispatch()
        assert job is not None
        order.append(job.item.state.read(PROMPT).data[:1])
    assert b"".join(order) == b"xxxyzy"


@given(data=st.binary(max_size=5000), now=st.floats(0.0, 1e9))
def test_the_policy_keeps_the_contract_of_ordering_policies(data: bytes, now: float) -> None:
    assert check_ordering(ordering(data[:2048]), item_of(data, now), now) <= now
