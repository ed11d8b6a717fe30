from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest

from turnout.epp.demo.servers import TokenCounts
from turnout.epp.demo.slo.arms import ArmOutcome
from turnout.epp.demo.slo.figures import RunFigures, TargetFigures, cost, goals, summarise
from turnout.epp.demo.slo.workload import TARGETS, Arrival
from turnout.epp.demo.timed.answers import Answer, Answers, Outcome

NO_TOKENS = [TokenCounts(0, 0)] * 4
ALL_MET = RunFigures({target: TargetFigures(100, 100, 0.1, 0.2) for target in TARGETS}, 0, 0, 0.02, 0.0)


def run_of(*answers: tuple[float, Outcome, float], unanswered: Sequence[float] = ()) -> RunFigures:
    found = [
        Answer(Arrival(number, 0.0, target, 100, 10), outcome, decided, decided)
        for number, (target, outcome, decided) in enumerate(answers)
    ]
    sent = [answer.request for answer in found] + [Arrival(1000, 0.0, target, 100, 10) for target in unanswered]
    return summarise(sent, ArmOutcome(Answers(found, [0.0]), NO_TOKENS))


def test_what_is_late_refused_failed_or_unanswered_has_missed_its_target() -> None:
    figures = run_of(
        (0.3, "served", 0.3),
        (0.3, "served", 0.31),
        (0.3, "refused", 0.1),
        (0.3, "failed", 0.1),
        (1.0, "served", 0.9),
        unanswered=[0.3],
    )
    assert (figures.targets[0.3].sent, figures.targets[0.3].met) == (5, 1)
    assert (figures.targets[1.0].sent, figures.targets[1.0].met) == (1, 1)
    assert (figures.refused, figures.failed) == (1, 2)
    assert figures.attainment == pytest.approx(2 / 6)


def test_the_cost_is_that_of_the_tokens_of_each_server() -> None:
    tokens = [
        TokenCounts(1_000_000, 0),
        TokenCounts(0, 1_000_000),
        TokenCounts(2_000_000, 0),
        TokenCounts(0, 2_000_000),
    ]
    assert cost(tokens) == pytest.approx(0.40 + 1.20 + 0.30 + 0.90)


def runs(changes: Mapping[str, RunFigures] = MappingProxyType({})) -> dict[str, RunFigures]:
    worse = replace(ALL_MET, targets={target: TargetFigures(100, 90, 0.1, 0.2) for target in TARGETS})
    usual = {
        "least-request": worse,
        "default": worse,
        "slo-first": ALL_MET,
        "slo-first, 60%": ALL_MET,
        "cost-first, 60%": replace(ALL_MET, cost=0.01),
    }
    return {**usual, **changes}


def test_all_goals_are_reached() -> None:
    assert [goal.text for goal in goals(runs()) if not goal.reached] == []


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        pytest.param({"default": ALL_MET}, "slo-first meets more targets than default", id="the default is as good"),
        pytest.param({"cost-first, 60%": ALL_MET}, "cost-first costs less than slo-first", id="not cheaper"),
        pytest.param(
            {
                "cost-first, 60%": replace(
                    ALL_MET, targets={**ALL_MET.targets, 0.3: TargetFigures(100, 90, 0, 0)}, cost=0.0
                )
            },
            "cost-first meets at most 1 point less",
            id="too cheap",
        ),
        pytest.param({"least-request": replace(ALL_MET, failed=1)}, "requests that failed: 1", id="a failure"),
    ],
)
def test_a_goal_that_is_missed_is_told(changes: dict[str, RunFigures], missed: str) -> None:
    assert any(goal.text.startswith(missed) for goal in goals(runs(changes)) if not goal.reached)
