import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.datalayer.health import Health, HealthPolicy

POLICY = HealthPolicy()


def failed_requests(count: int, now: float = 0.0) -> Health:
    health = Health(POLICY)
    for _ in range(count):
        health.request_failed(now)
    return health


def test_an_endpoint_not_heard_of_is_in_service() -> None:
    assert Health(POLICY).in_service(0.0)


@pytest.mark.parametrize(
    ("failures", "in_service"),
    [
        pytest.param([0.0, 2.0], True, id="two failures, however far apart"),
        pytest.param([0.0, 0.05, 0.1, 0.15], True, id="four within a second"),
        pytest.param([0.0, 0.5, 1.0], False, id="three over a second"),
        pytest.param([0.0, 0.05, 0.1, 1.0], False, id="four over a second"),
    ],
)
def test_scrapes_eject_after_three_failures_over_a_second(failures: list[float], in_service: bool) -> None:
    health = Health(POLICY)
    for at in failures:
        health.scrape_failed(at)
    assert health.in_service(10.0) is in_service
    health.scrape_succeeded()
    assert health.in_service(10.0)


def test_a_good_scrape_starts_the_count_anew() -> None:
    health = Health(POLICY)
    health.scrape_failed(0.0)
    health.scrape_failed(0.5)
    health.scrape_succeeded()
    health.scrape_failed(1.0)
    assert health.in_service(1.0)


def test_three_failed_requests_in_a_row_eject_for_a_second() -> None:
    assert failed_requests(2).in_service(0.0)
    health = failed_requests(3)
    assert [health.in_service(at) for at in (0.0, 0.999, 1.0)] == [False, False, True]
    assert health.half_opens_at(0.5) == 1.0


def test_a_good_scrape_does_not_bring_back_what_requests_ejected() -> None:
    health = failed_requests(3)
    health.scrape_succeeded()
    assert not health.in_service(0.5)


def test_one_success_between_failures_starts_the_count_anew() -> None:
    health = failed_requests(2)
    health.request_succeeded(0.0)
    health.request_failed(0.0)
    health.request_failed(0.0)
    assert health.in_service(0.0)


def test_half_open_is_one_trial() -> None:
    health = failed_requests(3)
    health.dispatched(1.0)
    assert not health.in_service(1.0)
    health.request_succeeded(1.2)
    assert health.in_service(1.2)
    health.request_failed(1.3)
    assert health.in_service(1.3)


def test_a_trial_without_an_outcome_allows_another_a_backoff_later() -> None:
    health = failed_requests(3)
    health.dispatched(1.0)
    assert [health.in_service(at) for at in (1.999, 2.0)] == [False, True]


def test_each_failed_trial_doubles_the_backoff_up_to_thirty_seconds() -> None:
    health = failed_requests(3)
    now = 0.0
    lengths = []
    for _ in range(7):
        until = health.half_opens_at(now)
        lengths.append(until - now)
        now = until
        health.dispatched(now)
        health.request_failed(now)
    assert lengths == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_burst_of_failures_is_one_event() -> None:
    health = failed_requests(50)
    assert health.half_opens_at(0.0) == 1.0


EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 5.0), st.sampled_from(("dispatched", "request_failed", "request_succeeded", "scrape_failed"))
    ),
    max_size=60,
)


def play(events: list[tuple[float, str]]) -> tuple[Health, float]:
    health, now = Health(POLICY), 0.0
    for wait, event in events:
        now += wait
        getattr(health, event)(now)
    return health, now


@given(EVENTS, st.floats(0.0, 1.0))
def test_never_back_within_the_backoff_unless_a_trial_succeeds(events: list[tuple[float, str]], part: float) -> None:
    health, now = play([event for event in events if event[1] != "scrape_failed"])
    until = health.half_opens_at(now)
    if until == float("inf"):
        assert health.in_service(now)
        return
    assert until - now <= 30.0
    between = now + part * (until - now)
    if between < until:
        health.request_failed(between)
        assert not health.in_service(between)
    assert health.in_service(health.half_opens_at(between) if between < until else until)


@given(EVENTS)
def test_always_recovers_after_a_good_scrape_and_a_good_trial(events: list[tuple[float, str]]) -> None:
    health, now = play(events)
    health.scrape_succeeded()
    now = min(max(now, health.half_opens_at(now)), now + 30.0)
    assert health.in_service(now)
    health.dispatched(now)
    health.request_succeeded(now)
    assert health.in_service(now)
    assert not health.ejected_by_requests


@given(EVENTS)
def test_a_success_before_the_backoff_ends_and_without_a_trial_changes_nothing(events: list[tuple[float, str]]) -> None:
    health, now = play([*events, (31.0, "request_succeeded")])
    for _ in range(3):
        health.request_failed(now)
    until = health.half_opens_at(now)
    assert until == now + 1.0
    health.request_succeeded(now + 0.5)
    assert health.half_opens_at(now + 0.5) == until
