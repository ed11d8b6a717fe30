from collections.abc import Callable
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.queued import any_queued, queued
from turnout.framework import QueuedRequest, QueueOutlook, Refusal, RefusalKind
from turnout.framework.testing import check_signatures
from turnout.plugins.queue_entry import EarlyRefusalPolicy, QueueSheddingPolicy


def outlook(expected_wait: float | None = None, fill: float = 0.0, saturation: float = 1.0) -> QueueOutlook:
    return QueueOutlook(expected_wait, ahead=7, fill=fill, saturation=saturation)


any_outlook = st.builds(
    outlook,
    expected_wait=st.none() | st.floats(0.0, 1e9) | st.sampled_from([float("inf"), float("nan")]),
    fill=st.floats(0.0, 2.0) | st.just(float("nan")),
    saturation=st.floats(0.0, 5.0) | st.sampled_from([float("inf"), float("nan")]),
)


# --- early-refusal-policy --------------------------------------------------------------------------------

# At time 10 there are 8 s left before the deadline, and 3 s before the target has passed.
WITH_DEADLINE = queued(enqueued_at=8.0, deadline=18.0)
WITH_TARGET = queued(enqueued_at=8.0, deadline=18.0, ttft_target=5.0)


@pytest.mark.parametrize(
    ("policy", "item", "wait", "retry_after"),
    [
        pytest.param(EarlyRefusalPolicy(), WITH_DEADLINE, None, None, id="nothing is known of the pace"),
        pytest.param(EarlyRefusalPolicy(), WITH_DEADLINE, 8.0, None, id="just before the deadline"),
        pytest.param(EarlyRefusalPolicy(), WITH_DEADLINE, 12.0, 4.0, id="after the deadline"),
        pytest.param(EarlyRefusalPolicy(), WITH_DEADLINE, 8.1, 1.0, id="at least a second"),
        pytest.param(EarlyRefusalPolicy(), WITH_TARGET, 3.0, None, id="just before the target has passed"),
        pytest.param(EarlyRefusalPolicy(), WITH_TARGET, 5.0, 2.0, id="after the target has passed"),
        pytest.param(EarlyRefusalPolicy(use_ttft_target=False), WITH_TARGET, 5.0, None, id="targets do not count"),
        pytest.param(EarlyRefusalPolicy(2.0), WITH_DEADLINE, 4.0, None, id="twice the wait just fits"),
        pytest.param(EarlyRefusalPolicy(2.0), WITH_DEADLINE, 4.1, 1.0, id="twice the wait does not fit"),
        pytest.param(EarlyRefusalPolicy(0.5), WITH_DEADLINE, 16.0, None, id="half the wait just fits"),
        pytest.param(EarlyRefusalPolicy(), WITH_DEADLINE, float("inf"), 3600.0, id="at most an hour"),
        pytest.param(EarlyRefusalPolicy(), queued(), 1e9, None, id="a request that may wait for ever"),
        pytest.param(EarlyRefusalPolicy(), queued(deadline=5.0), 0.0, 5.0, id="a deadline that has passed"),
    ],
)
def test_a_request_that_would_wait_too_long_is_refused(
    policy: EarlyRefusalPolicy, item: QueuedRequest, wait: float | None, retry_after: float | None
) -> None:
    refusal = policy.entry_refusal(item, outlook(wait), 10.0)
    assert (refusal and refusal.retry_after_seconds) == (None if retry_after is None else pytest.approx(retry_after))


def test_the_client_is_told_what_it_would_have_waited() -> None:
    message = "the request would wait 12.0 s, and may wait 8.0 s"
    expected = Refusal(RefusalKind.RESOURCE_EXHAUSTED, message, "rejected-saturated", 4.0)
    assert EarlyRefusalPolicy().entry_refusal(WITH_DEADLINE, outlook(12.0), 10.0) == expected


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_safety_factor_is_positive(factor: float) -> None:
    with pytest.raises(ValueError, match=f"safety_factor must be positive and finite, got {factor}"):
        EarlyRefusalPolicy(factor)


# --- queue-shedding-policy -------------------------------------------------------------------------------

LOW = queued(priority=-1)


def refused_share(policy: QueueSheddingPolicy, seen: QueueOutlook, item: QueuedRequest = LOW) -> float:
    return mean(policy.entry_refusal(item, seen, 0.0) is not None for _ in range(4000))


@pytest.mark.parametrize(
    ("policy", "seen", "share"),
    [
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=0.8), 0.0, id="not before the start"),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=0.85), 0.25, id="a quarter of the way"),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=0.95), 0.75, id="three quarters"),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=1.0), 1.0, id="all when it is full"),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=7.0), 1.0, id="all when it is more than full"),
        pytest.param(QueueSheddingPolicy(0.0, seed=1), outlook(fill=0.5), 0.5, id="another start"),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(saturation=9.0), 0.0, id="saturation does not count"),
        pytest.param(QueueSheddingPolicy(0.8, 1.0, seed=1), outlook(saturation=1.5), 0.5, id="unless it is asked for"),
        pytest.param(QueueSheddingPolicy(0.8, 1.0, 5.0, seed=1), outlook(saturation=2.0), 0.25, id="with a far end"),
        pytest.param(
            QueueSheddingPolicy(0.8, 1.0, seed=1), outlook(fill=0.95, saturation=1.5), 0.75, id="the larger counts"
        ),
        pytest.param(QueueSheddingPolicy(seed=1), outlook(fill=float("nan")), 0.0, id="no number"),
    ],
)
def test_the_chance_of_a_refusal_rises_with_the_fill(
    policy: QueueSheddingPolicy, seen: QueueOutlook, share: float
) -> None:
    assert refused_share(policy, seen) == pytest.approx(share, abs=0.03)


def test_priorities_from_the_protected_one_on_are_never_refused() -> None:
    full = outlook(fill=1.0)
    assert refused_share(QueueSheddingPolicy(), full, queued(priority=0)) == 0.0
    assert refused_share(QueueSheddingPolicy(protected_priority=50), full, queued(priority=49)) == 1.0
    assert refused_share(QueueSheddingPolicy(protected_priority=50), full, queued(priority=50)) == 0.0


@pytest.mark.parametrize(("wait", "retry_after"), [(None, 1.0), (0.2, 1.0), (7.5, 7.5), (float("inf"), 3600.0)])
def test_a_refused_client_is_told_when_to_come_back(wait: float | None, retry_after: float) -> None:
    refusal = QueueSheddingPolicy().entry_refusal(LOW, outlook(wait, fill=1.0), 0.0)
    message = "the queue is filling up and has no place for requests of low priority"
    assert refusal == Refusal(RefusalKind.RESOURCE_EXHAUSTED, message, "rejected-saturated", retry_after)


def test_a_seed_fixes_who_is_refused() -> None:
    one, other = QueueSheddingPolicy(seed=3), QueueSheddingPolicy(seed=3)
    half = outlook(fill=0.9)
    assert [one.entry_refusal(LOW, half, 0.0) for _ in range(100)] == [
        other.entry_refusal(LOW, half, 0.0) for _ in range(100)
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: QueueSheddingPolicy(1.0), r"start must be within \[0, 1\), got 1.0"),
        (lambda: QueueSheddingPolicy(-0.1), r"start must be within \[0, 1\), got -0.1"),
        (lambda: QueueSheddingPolicy(float("nan")), r"start must be within \[0, 1\), got nan"),
        (
            lambda: QueueSheddingPolicy(0.8, 2.0, 2.0),
            "start_saturation must be at least 0 and below full_saturation, which must be finite, got 2.0 and 2.0",
        ),
        (lambda: QueueSheddingPolicy(0.8, -1.0), "start_saturation must be at least 0"),
        (lambda: QueueSheddingPolicy(0.8, 1.0, float("inf")), "start_saturation must be at least 0"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], QueueSheddingPolicy], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# --- both ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EarlyRefusalPolicy(), QueueSheddingPolicy(0.5, 0.5, seed=1)])
@given(item=any_queued, seen=any_outlook, now=st.floats(0.0, 1e6))
def test_whatever_is_seen_a_refusal_says_when_to_come_back(
    policy: EarlyRefusalPolicy | QueueSheddingPolicy, item: QueuedRequest, seen: QueueOutlook, now: float
) -> None:
    check_signatures(policy)
    refusal = policy.entry_refusal(item, seen, now)
    if refusal is not None:
        assert refusal.retry_after_seconds is not None
        assert 1.0 <= refusal.retry_after_seconds <= 3600.0


@given(item=any_queued, fills=st.tuples(st.floats(0.0, 1.5), st.floats(0.0, 1.5)), seed=st.integers(0, 1000))
def test_who_is_refused_at_one_fill_is_refused_at_a_higher_one(
    item: QueuedRequest, fills: tuple[float, float], seed: int
) -> None:
    low, high = (
        QueueSheddingPolicy(seed=seed).entry_refusal(item, outlook(fill=fill), 0.0) is not None
        for fill in sorted(fills)
    )
    assert low <= high


@given(item=any_queued, waits=st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 1e6)))
def test_who_is_refused_with_one_wait_is_refused_with_a_longer_one(
    item: QueuedRequest, waits: tuple[float, float]
) -> None:
    policy = EarlyRefusalPolicy()
    short, long = (policy.entry_refusal(item, outlook(wait), item.enqueued_at) is not None for wait in sorted(waits))
    assert short <= long
