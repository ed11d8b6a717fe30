import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.sla.requests import an_end
from turnout.framework import CLIENT_LEFT, Completion, Refusal, RefusalKind, Termination
from turnout.plugins.sla.targets import Metric
from turnout.plugins.sla.verdicts import Outcome, Reason, Verdict, of_completion, of_refusal

MET, EXCUSED, UNMEASURED = Outcome.MET, Outcome.EXCUSED, Outcome.UNMEASURED
LATE, FAILED, REFUSED, LEFT = Reason.LATE, Reason.FAILED, Reason.REFUSED, Reason.CLIENT_LEFT
NATURAL, GONE, ERROR = Termination.NATURAL, Termination.CLIENT_DISCONNECT, Termination.ERROR
NAN, INF = float("nan"), float("inf")


def words(verdict: Verdict) -> Outcome | Reason:
    """The reason of a violation, the outcome of anything else."""
    assert (verdict.outcome is Outcome.VIOLATED) == (verdict.reason is not None)
    return verdict.reason or verdict.outcome


@pytest.mark.parametrize(
    ("end", "ttft", "e2e", "tpot"),
    [
        pytest.param(an_end(), MET, MET, MET, id="in time"),
        pytest.param(an_end(first=1.0, duration=5.0), MET, MET, MET, id="exactly in time"),
        pytest.param(an_end(first=1.01, duration=5.02), LATE, LATE, LATE, id="a little late"),
        pytest.param(an_end(first=0.1, duration=9.0, tokens=5), MET, LATE, LATE, id="slow tokens"),
        pytest.param(an_end(first=0.1, duration=9.0, tokens=100), MET, LATE, MET, id="many tokens"),
        pytest.param(an_end(tokens=1), MET, MET, EXCUSED, id="one token"),
        pytest.param(an_end(tokens=0), MET, MET, EXCUSED, id="no token"),
        pytest.param(an_end(tokens=-5), MET, MET, EXCUSED, id="a count that lies"),
        pytest.param(an_end(tokens=None), MET, MET, UNMEASURED, id="responses are not read"),
        pytest.param(an_end(first=None), UNMEASURED, MET, UNMEASURED, id="no first byte seen"),
        pytest.param(an_end(duration=None), MET, UNMEASURED, UNMEASURED, id="no end seen"),
        pytest.param(an_end(first=NAN, duration=INF), UNMEASURED, UNMEASURED, UNMEASURED, id="no numbers"),
        pytest.param(an_end(first=-1.0, duration=-2.0), MET, MET, MET, id="clocks that disagree"),
        pytest.param(an_end(status=None), MET, MET, MET, id="no status"),
        pytest.param(an_end(status=404), EXCUSED, EXCUSED, EXCUSED, id="the client's own fault"),
        pytest.param(an_end(status=501, tokens=None), EXCUSED, EXCUSED, EXCUSED, id="an API that the model has not"),
        pytest.param(an_end(status=429, tokens=None), FAILED, FAILED, EXCUSED, id="an engine that is full"),
        pytest.param(an_end(status=503, tokens=None), FAILED, FAILED, EXCUSED, id="an engine that is broken"),
        pytest.param(an_end(ERROR, first=0.2, tokens=None), MET, FAILED, EXCUSED, id="broken off after tokens"),
        pytest.param(an_end(ERROR, None, first=None, sent=0, tokens=None), FAILED, FAILED, EXCUSED, id="no answer"),
        pytest.param(an_end(ERROR, sent=0, tokens=None), FAILED, FAILED, EXCUSED, id="broken off after the head"),
        pytest.param(an_end(Termination.EVICTED, tokens=None), MET, FAILED, EXCUSED, id="evicted"),
        pytest.param(an_end(GONE, duration=2.0, tokens=None), MET, EXCUSED, EXCUSED, id="left while reading"),
        pytest.param(an_end(GONE, duration=9.0, tokens=None), MET, LEFT, EXCUSED, id="left after waiting for the end"),
        pytest.param(
            an_end(GONE, None, first=None, duration=0.9, sent=0, tokens=None), EXCUSED, EXCUSED, EXCUSED, id="left soon"
        ),
        pytest.param(
            an_end(GONE, None, first=None, duration=1.1, sent=0, tokens=None), LEFT, EXCUSED, EXCUSED, id="left late"
        ),
        pytest.param(
            an_end(GONE, None, first=None, duration=None, sent=0),
            EXCUSED,
            EXCUSED,
            EXCUSED,
            id="left, nobody knows when",
        ),
    ],
)
def test_a_dispatched_request_against_1_s_to_the_first_byte_5_s_in_all_and_1_s_a_token(
    end: Completion, ttft: Outcome | Reason, e2e: Outcome | Reason, tpot: Outcome | Reason
) -> None:
    assert words(of_completion("ttft", end, 1.0)) == ttft
    assert words(of_completion("e2e", end, 5.0)) == e2e
    assert words(of_completion("tpot", end, 1.0)) == tpot


def test_what_was_measured_is_told() -> None:
    end = an_end(first=0.5, duration=2.5, tokens=5)
    assert of_completion("ttft", end, 0.4) == Verdict(Outcome.VIOLATED, LATE, 0.5)
    assert of_completion("e2e", end, 3.0) == Verdict(MET, None, 2.5)
    assert of_completion("tpot", end, 0.4) == Verdict(Outcome.VIOLATED, LATE, 0.5)


def refusal(kind: RefusalKind, dropped_reason: str = "") -> Refusal:
    return Refusal(kind, "no", dropped_reason)


@pytest.mark.parametrize(
    ("why", "waited", "word"),
    [
        pytest.param(refusal(RefusalKind.RESOURCE_EXHAUSTED, "rejected-saturated"), 0.0, REFUSED, id="a full queue"),
        pytest.param(refusal(RefusalKind.UNAVAILABLE, "rejected-no-endpoints"), 0.0, REFUSED, id="no endpoint"),
        pytest.param(refusal(RefusalKind.INTERNAL), 0.0, REFUSED, id="a broken plugin"),
        pytest.param(refusal(RefusalKind.BAD_REQUEST), 9.0, EXCUSED, id="a bad request"),
        pytest.param(refusal(RefusalKind.UNAUTHORIZED), 9.0, EXCUSED, id="nobody we know"),
        pytest.param(refusal(RefusalKind.FORBIDDEN), 9.0, EXCUSED, id="not allowed"),
        pytest.param(refusal(RefusalKind.NOT_FOUND), 9.0, EXCUSED, id="no such model"),
        pytest.param(refusal(RefusalKind.PRECONDITION_FAILED), 9.0, EXCUSED, id="a wrong condition"),
        pytest.param(refusal(RefusalKind.TOO_LARGE), 9.0, EXCUSED, id="too large"),
        pytest.param(refusal(RefusalKind.UNAVAILABLE, CLIENT_LEFT), 0.9, EXCUSED, id="left the queue in time"),
        pytest.param(refusal(RefusalKind.UNAVAILABLE, CLIENT_LEFT), 1.1, LEFT, id="left the queue too late"),
    ],
)
def test_a_refused_request_against_1_s(why: Refusal, waited: float, word: Outcome | Reason) -> None:
    assert words(of_refusal("ttft", why, waited, 1.0)) == word
    assert words(of_refusal("e2e", why, waited, 1.0)) == word
    assert of_refusal("tpot", why, waited, 1.0).outcome is EXCUSED


def test_every_kind_of_refusal_is_either_the_client_s_or_ours() -> None:
    verdicts = {kind: of_refusal("e2e", refusal(kind), 0.0, 1.0).outcome for kind in RefusalKind}
    assert set(verdicts.values()) == {EXCUSED, Outcome.VIOLATED}


numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@given(
    metric=st.sampled_from(["ttft", "tpot", "e2e"]),
    cause=st.sampled_from(Termination),
    status=st.none() | st.integers(-1, 999),
    first=numbers,
    duration=numbers,
    tokens=st.none() | st.integers(-(10**400), 10**400),
    sent=st.integers(0, 10**9),
    limit=st.floats(1e-9, 1e9),
)
def test_any_end_has_a_verdict(
    metric: Metric,
    cause: Termination,
    status: int | None,
    first: float | None,
    duration: float | None,
    tokens: int | None,
    sent: int,
    limit: float,
) -> None:
    end = an_end(cause, status, first=first, duration=duration, tokens=tokens, sent=sent)
    verdict = of_completion(metric, end, limit)
    assert (verdict.reason is not None) == (verdict.outcome is Outcome.VIOLATED)
    if verdict.seconds is not None:
        assert 0.0 <= verdict.seconds < INF
        assert (verdict.outcome is MET) == (verdict.seconds <= limit)
