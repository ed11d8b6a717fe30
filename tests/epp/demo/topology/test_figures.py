import math
from dataclasses import replace

import pytest

from turnout.epp.demo.timed.answers import Answer, Answers
from turnout.epp.demo.topology.arms import ArmOutcome
from turnout.epp.demo.topology.figures import RunFigures, goals, p90_gain, summarise
from turnout.epp.demo.topology.transfers import Transfers
from turnout.epp.demo.topology.workload import Arrival

REQUESTS = [Arrival(number, float(number), 0, 100, 10) for number in range(101)]
MOVED = Transfers({"NVLink": 90, "network": 10}, 2.02, 0.05, 0)
RUN = RunFigures(101, 0, 0, MOVED, {number: number / 100 for number in range(101)}, 0.002)


def test_a_run_is_summed_up() -> None:
    answers = [Answer(request, "served", request.number / 100, 1.0) for request in REQUESTS[:98]]
    answers += [Answer(REQUESTS[98], "refused", 9.0, 9.0), Answer(REQUESTS[99], "failed", 9.0, 9.0)]
    run = summarise(REQUESTS, ArmOutcome(Answers(answers, [0.001] * 100), MOVED))
    assert (run.sent, run.refused, run.failed) == (101, 1, 2)
    assert run.transfer_seconds == 0.02
    assert run.ttft(0.5) == 0.485
    assert run.late_p99 == 0.001


def aware(seconds: float = 1.01, slower: float = 0.0, **changes: object) -> RunFigures:
    moved = replace(MOVED, seconds=seconds)
    ttfts = {number: ttft + slower for number, ttft in RUN.ttfts.items()}
    return replace(RUN, **{"transfers": moved, "ttfts": ttfts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        pytest.param(aware(), [], id="half the time, TTFT as before"),
        pytest.param(aware(1.02), ["KV transfer time per request"], id="a little more than half"),
        pytest.param(aware(slower=0.001), ["TTFT p90 not above"], id="TTFT a little higher"),
        pytest.param(aware(failed=1), ["requests that were not served: 1"], id="a request failed"),
        pytest.param(aware(refused=1), ["requests that were not served: 1"], id="a request was refused"),
        pytest.param(aware(ttfts={}), ["TTFT p90 not above"], id="nothing was served"),
        pytest.param(
            aware(transfers=Transfers({}, 0.0, math.nan, 2)),
            ["KV transfer time per request", "requests that were not served: 0, transfers that failed: 2"],
            id="every transfer failed",
        ),
    ],
)
def test_goals(figures: RunFigures, missed: list[str]) -> None:
    found = [goal.text for goal in goals({"topology-blind": RUN, "topology-aware": figures}) if not goal.reached]
    assert len(found) == len(missed)
    assert all(text.startswith(beginning) for text, beginning in zip(found, missed, strict=True))


def test_the_gain_is_that_of_the_same_requests_and_certain_where_all_gain_alike() -> None:
    assert p90_gain(RUN, aware(slower=-0.1)) == pytest.approx((0.1, 0.1, 0.1))


def test_a_gain_of_few_requests_is_uncertain() -> None:
    better = {number: 0.0 if number % 9 == 0 else ttft for number, ttft in RUN.ttfts.items()}
    gain, low, high = p90_gain(RUN, replace(RUN, ttfts=better))
    assert low < gain < high


def test_without_answers_to_the_same_requests_there_is_no_gain() -> None:
    assert all(math.isnan(value) for value in p90_gain(RUN, replace(RUN, ttfts={})))
