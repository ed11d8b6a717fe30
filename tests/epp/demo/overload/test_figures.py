import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from turnout.epp.demo.overload.figures import LevelFigures, RunFigures, critical_ratio, goals, summarise
from turnout.epp.demo.overload.profiles import Bounds
from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.demo.timed.answers import Answer, Answers, Outcome

PROMISED = Bounds(queue=5.0, first_token=6.0, refusal=5.25)


def answer(
    number: int, level: str, outcome: Outcome, decided: float, reason: str = "", ended: float = 0.0
) -> Answer[Arrival]:
    return Answer(Arrival(number, float(number), level, "acme", 100, 10), outcome, decided, ended or decided, reason)


def run_of(answers: Sequence[Answer[Arrival]], *unanswered: Arrival) -> RunFigures:
    sent = [each.request for each in answers] + list(unanswered)
    return summarise(sent, Answers(list(answers), [0.0, 0.001], 12.5), PROMISED)


def test_a_level_counts_everything_that_was_sent() -> None:
    answers = [
        answer(0, "low", "served", 1.0),
        answer(1, "low", "served", 3.0),
        answer(2, "low", "refused", 0.01, "rejected-saturated"),
        answer(3, "low", "refused", 0.01, "rejected-saturated"),
        answer(4, "low", "refused", 5.01, "rejected-ttl-expired"),
        answer(5, "low", "failed", 2.0, "HTTP 503"),
        answer(6, "high", "served", 0.5),
    ]
    run = run_of(answers, Arrival(7, 7.0, "low", "acme", 100, 10))
    assert list(run.levels) == ["high", "low"]
    low = run.levels["low"]
    assert (low.sent, low.served, low.unanswered, low.lost) == (7, 2, 1, 2)
    assert low.refused == {"rejected-saturated": 2, "rejected-ttl-expired": 1}
    assert low.failed == {"HTTP 503": 1}
    assert (low.ttft_p50, low.longest) == (2.0, 5.01)
    assert low.ttft_p99 == pytest.approx(2.98)
    assert run.seconds == 12.5
    assert run.late_p99 == pytest.approx(0.00099)


@pytest.mark.parametrize(
    ("outcome", "decided", "outside"),
    [
        pytest.param("served", 6.0, 0, id="a first token just in time"),
        pytest.param("served", 6.01, 1, id="a first token too late"),
        pytest.param("refused", 5.25, 0, id="a refusal just in time"),
        pytest.param("refused", 5.26, 1, id="a refusal too late, though a first token would not be"),
        pytest.param("failed", 0.1, 1, id="a failure is no outcome"),
    ],
)
def test_the_bound_depends_on_the_outcome(outcome: Outcome, decided: float, outside: int) -> None:
    assert run_of([answer(0, "low", outcome, decided)]).levels["low"].outside_bound == outside


def test_a_request_that_is_never_answered_is_outside_its_bound() -> None:
    level = run_of([], Arrival(0, 0.0, "low", "acme", 100, 10)).levels["low"]
    assert (level.outside_bound, level.unanswered, level.longest) == (1, 1, 0.0)
    assert math.isnan(level.ttft_p50)


def test_the_rate_of_service_leaves_out_the_first_and_the_last_tenth() -> None:
    # Sent every second and complete half a second later, but the first and the last only much later.
    middle = [answer(number, "low", "served", 0.1, ended=0.5) for number in range(1, 20)]
    ends = [answer(0, "low", "served", 0.1, ended=100.0), answer(20, "low", "served", 0.1, ended=200.0)]
    assert run_of(middle + ends).served_per_second == pytest.approx(1.0)
    assert run_of([]).served_per_second == run_of(middle[:1]).served_per_second == 0.0


FAST = LevelFigures(100, 100, {}, {}, 0, 0.05, 0.2, 0.3, 0)
LOW = LevelFigures(50, 20, {"rejected-saturated": 30}, {}, 0, 2.0, 4.0, 5.1, 0)


def run(critical: LevelFigures = FAST, low: LevelFigures = LOW) -> RunFigures:
    return RunFigures({"critical": critical, "low": low}, 30.0, 20.0, 0.001)


ALONE = RunFigures({"critical": FAST}, 30.0, 20.0, 0.001)


def missed(loaded: RunFigures) -> list[str]:
    return [goal.text for goal in goals(ALONE, loaded, PROMISED) if not goal.reached]


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        pytest.param(run(), [], id="all is well"),
        pytest.param(run(replace(FAST, ttft_p99=0.24)), [], id="the ratio just reached"),
        pytest.param(
            run(replace(FAST, ttft_p99=0.25)),
            ["critical TTFT p99 / unloaded: 1.25 (at most 1.2)"],
            id="critical requests too slow",
        ),
        pytest.param(
            run(replace(FAST, served=99, refused={"rejected-saturated": 1})),
            ["critical requests not served: 1 (none)"],
            id="a critical request refused",
        ),
        pytest.param(
            run(low=replace(LOW, outside_bound=3)),
            ["requests without an outcome within 6 s (first token) or 5.25 s (refusal): 3 of 150 (none)"],
            id="low requests outside their bound",
        ),
        pytest.param(
            run(low=replace(LOW, served=18, failed={"HTTP 503": 1}, unanswered=1)),
            ["requests that failed or were never answered: 2 (none)"],
            id="requests lost",
        ),
        pytest.param(
            run(replace(FAST, served=0, ttft_p99=math.nan)),
            ["critical TTFT p99 / unloaded: nan (at most 1.2)", "critical requests not served: 100 (none)"],
            id="no critical request served",
        ),
    ],
)
def test_goals(loaded: RunFigures, expected: list[str]) -> None:
    assert missed(loaded) == expected


def test_a_run_too_short_for_a_critical_request_misses_its_goal() -> None:
    nothing = RunFigures({}, 1.0, 0.0, 0.0)
    assert math.isnan(critical_ratio(nothing, run()))
    assert [goal.reached for goal in goals(nothing, run(), PROMISED)] == [False, True, True, True]
    assert not goals(nothing, nothing, PROMISED)[0].reached
