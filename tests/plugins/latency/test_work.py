import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.latency.work import EndpointWork


def sent(work: EndpointWork, number: int, seconds: float, now: float, *, shown: bool = True) -> None:
    work.send(number, seconds, 10.0, 100.0, now, shows_first_token=shown)


def test_a_prompt_waits_for_those_that_were_sent_before_it() -> None:
    work = EndpointWork()
    assert work.prefill_ahead(0.0) == 0.0
    sent(work, 1, 2.0, 10.0, shown=False)
    sent(work, 2, 3.0, 11.0, shown=False)
    assert work.prefill_ahead(11.0) == 4.0
    assert work.prefill_ahead(20.0) == 0.0


def test_first_tokens_correct_what_is_ahead() -> None:
    work = EndpointWork()
    for number in (1, 2, 3):
        sent(work, number, 1.0, 0.0)
    assert work.prefill_ahead(10.0) == 2.0, "the engine is slower: all but the one that it computes wait still"
    work.first_token(1, 10.0)
    assert work.prefill_ahead(10.0) == 2.0
    work.first_token(2, 10.5)
    work.first_token(3, 11.0)
    assert work.prefill_ahead(11.0) == 0.0, "or faster"


def test_a_request_that_ends_takes_nothing_with_it_and_leaves_nothing() -> None:
    work = EndpointWork()
    sent(work, 1, 5.0, 0.0)
    sent(work, 2, 1.0, 0.0)
    assert (work.requests, work.context_tokens) == (2, 200.0)
    work.end(1, 100.0, 1.0)
    assert (work.requests, work.context_tokens, work.prefill_ahead(1.0)) == (1, 100.0, 1.0)
    work.end(2, 100.0, 2.0)
    assert (work.requests, work.context_tokens, work.prefill_ahead(2.0)) == (0, 0.0, 0.0)


def test_a_request_gets_its_place_when_enough_of_those_before_it_have_ended() -> None:
    work = EndpointWork()
    for number, duration in enumerate((4.0, 2.0, 3.0)):
        work.send(number, 0.1, duration, 100.0, 10.0, shows_first_token=False)
    assert work.place_in(4, 10.0) == 0.0
    assert work.place_in(3, 10.0) == 2.0
    assert work.place_in(2, 10.5) == 2.5
    assert work.place_in(3, 20.0) == 0.0, "it is late, and may end at any moment"
    work.end(1, 100.0, 11.0)
    assert work.place_in(3, 11.0) == 0.0


def test_the_share_of_prompts_is_that_of_the_last_seconds() -> None:
    work = EndpointWork()
    for tenth in range(1000):
        sent(work, tenth, 0.03, tenth / 10)
        work.end(tenth, 100.0, tenth / 10)
    assert work.prefill_share(100.0) == pytest.approx(0.3, rel=0.02)
    assert work.prefill_share(130.0) == pytest.approx(0.3 * 0.05, rel=0.05)
    assert work.usual_prefill == pytest.approx(0.03)


@given(st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 5.0), st.booleans()), max_size=40))
def test_what_is_ahead_is_never_negative_and_the_share_is_bounded(steps: list[tuple[float, float, bool]]) -> None:
    work, now = EndpointWork(), 0.0
    for number, (seconds, passed, shown) in enumerate(steps):
        now += passed
        sent(work, number, seconds, now, shown=shown)
        assert work.prefill_ahead(now) >= seconds - 1e-9
        assert 0.0 <= work.prefill_share(now) <= 0.9
    for number in range(len(steps)):
        work.end(number, 100.0, now)
    assert (work.requests, work.context_tokens) == (0, 0.0)
