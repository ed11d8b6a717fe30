import json
import math
from datetime import UTC, datetime

import pytest

from turnout.epp.observe.decisions import DecisionLog, StoredDecision
from turnout.framework import (
    DecisionRecord,
    Endpoint,
    EndpointMetrics,
    FilterRecord,
    ProfileRecord,
    ScorerRecord,
    WaitRecord,
)
from turnout.framework.testing import make_endpoint, make_request

A, B, C = "default/a", "default/b", "default/c"
SEEN = EndpointMetrics(3, 4, 0.5, observed_at={"waiting_queue_size": 9.75, "kv_cache_utilization": 8.0})
ENDPOINTS = [make_endpoint("a", metrics=SEEN, in_flight=2), make_endpoint("b"), make_endpoint("c")]


def profile(**totals: float) -> ProfileRecord:
    by_name = {f"default/{name}": total for name, total in totals.items()}
    return ProfileRecord("default", (A, B, C), [], [], by_name, "max-score-picker", tuple(by_name)[:1])


def log(capacity: int = 200, sample_rate: float = 0.0) -> DecisionLog:
    return DecisionLog(capacity, sample_rate, seed=7, wall_clock=lambda: 1_700_000_000.0)


def stored(*profiles: ProfileRecord) -> StoredDecision:
    decisions = log()
    decisions.add(DecisionRecord("r1", list(profiles)), make_request("r1", model="m"), ENDPOINTS, 10.0)
    found = decisions.get("r1")
    assert found is not None
    return found


def test_a_decision_is_kept_with_everything_that_led_to_it() -> None:
    record = profile(a=1.5, b=0.5)
    record.filters = [FilterRecord("by-label", (A, B), (C,))]
    record.scorers = [ScorerRecord("queue", 2.0, {A: 0.75, B: 0.25})]
    assert json.loads(json.dumps(stored(record).as_dict())) == {
        "request_id": "r1",
        "model": "m",
        "target_model": "m",
        "decided_at": "2023-11-14T22:13:20Z",
        "profiles": [
            {
                "profile": "default",
                "candidates": [A, B, C],
                "filters": [{"filter": "by-label", "kept": [A, B], "dropped": [C]}],
                "scorers": [
                    {"scorer": "queue", "weight": 2.0, "raw": {A: 0.75, B: 0.25}, "weighted": {A: 1.5, B: 0.5}}
                ],
                "totals": {A: 1.5, B: 0.5},
                "picker": "max-score-picker",
                "picked": [A],
                "problem": "",
                "runner_up": B,
                "margin": 1.0,
            }
        ],
        "endpoints": {
            A: {
                "waiting_queue_size": 3,
                "running_requests": 4,
                "kv_cache_utilization": 0.5,
                "in_flight": 2,
                "metrics_age_seconds": 2.0,
            },
            B: _idle(),
            C: _idle(),
        },
        "wait": None,
        "reasons": [],
    }


def test_how_a_request_waited_is_kept_in_printable_words() -> None:
    decisions = log()
    wait = WaitRecord(2.5, 0, 5, True, "normal\n", "te\x00nant", math.inf, "fcfs")
    decisions.add(DecisionRecord("r1", [profile(a=1.0)], wait), make_request("r1"), ENDPOINTS, 10.0)
    found = decisions.get("r1")
    assert found is not None
    assert found.wait == WaitRecord(
        2.5, 0, 5, True, "normal\N{REPLACEMENT CHARACTER}", "te\N{REPLACEMENT CHARACTER}nant", 0.0, "fcfs"
    )
    assert StoredDecision.from_dict(found.as_dict()) == found


def test_the_handler_s_reasons_are_kept_in_printable_words_with_the_model_that_it_chose() -> None:
    decisions = log()
    record = DecisionRecord("r1", [profile(a=1.0)], reasons=("over budget\n", "smaller model"), target_model="small")
    decisions.add(record, make_request("r1"), ENDPOINTS, 10.0)
    found = decisions.get("r1")
    assert found is not None
    assert found.reasons == ("over budget\N{REPLACEMENT CHARACTER}", "smaller model")
    assert (found.model, found.target_model) == ("m", "small")
    assert StoredDecision.from_dict(found.as_dict()) == found


def _idle() -> dict[str, object]:
    numbers = {"waiting_queue_size": 0, "running_requests": 0, "kv_cache_utilization": 0.0, "in_flight": 0}
    return {**numbers, "metrics_age_seconds": None}


def test_a_decision_survives_the_way_through_json() -> None:
    decision = stored(profile(a=1.5, b=0.5))
    assert StoredDecision.from_dict(json.loads(json.dumps(decision.as_dict()))) == decision
    assert decision.decided_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_document_that_is_no_decision_is_refused_with_the_place() -> None:
    document = stored(profile(a=1.0)).as_dict()
    document["profiles"] = [{"profile": 3}]
    with pytest.raises(ValueError, match=r"\$\.profiles\[0\]\.profile"):
        StoredDecision.from_dict(document)


@pytest.mark.parametrize(
    ("totals", "runner_up", "margin"),
    [
        pytest.param({"a": 2.0, "b": 0.5, "c": 1.5}, C, 0.5, id="the best was picked"),
        pytest.param({"a": 1.0, "b": 1.0}, B, 0.0, id="a tie"),
        pytest.param({"a": 0.5, "b": 2.0}, B, -1.5, id="the picker did not take the best"),
        pytest.param({"a": 0.5}, None, None, id="only one was left"),
    ],
)
def test_the_runner_up_is_the_best_of_those_not_picked(
    totals: dict[str, float], runner_up: str | None, margin: float | None
) -> None:
    (kept,) = stored(profile(**totals)).profiles
    assert (kept.runner_up, kept.margin) == (runner_up, margin)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        pytest.param(ProfileRecord("p"), "there were no candidates", id="an empty pool"),
        pytest.param(
            ProfileRecord("p", (A,), [FilterRecord("f", (), (A,))]), "filter 'f' removed every candidate", id="filtered"
        ),
        pytest.param(
            ProfileRecord("p", (A,), [FilterRecord("f", (A,), ())]),
            "a plugin failed before an endpoint was picked",
            id="a plugin raised",
        ),
    ],
)
def test_a_profile_that_picked_nothing_says_why(record: ProfileRecord, problem: str) -> None:
    (kept,) = stored(record).profiles
    assert kept.problem == problem


def test_scores_that_are_no_number_become_null() -> None:
    record = profile(a=math.nan, b=1.0)
    record.scorers = [ScorerRecord("broken", 1.0, {A: math.nan, B: math.inf})]
    (kept,) = stored(record).profiles
    assert kept.scorers[0].raw == {A: None, B: None}
    assert kept.totals == {A: None, B: 1.0}
    assert kept.margin is None


def test_nothing_is_explained_unless_it_is_sampled_or_asked_for() -> None:
    decisions = log()
    assert decisions.start() is None
    decisions.ask(2)
    assert [decisions.start() is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("rate", "explained"),
    [pytest.param(0.0, 0, id="none"), pytest.param(1.0, 1000, id="all"), pytest.param(0.1, 108, id="a tenth")],
)
def test_the_sample_rate_is_the_fraction_of_requests_explained(rate: float, explained: int) -> None:
    decisions = log(sample_rate=rate)
    assert sum(decisions.start() is not None for _ in range(1000)) == explained


def test_what_is_asked_for_is_bounded() -> None:
    decisions = log()
    decisions.ask(10**9)
    assert sum(decisions.start() is not None for _ in range(1500)) == 1000


def test_the_latest_decisions_are_kept_and_given_newest_first() -> None:
    decisions = log(capacity=3)
    for number in range(5):
        decisions.add(DecisionRecord(), make_request(f"r{number}"), [], 0.0)
    assert [decision.request_id for decision in decisions.latest(2)] == ["r4", "r3"]
    assert [decision.request_id for decision in decisions.latest(99)] == ["r4", "r3", "r2"]
    assert decisions.latest(-1) == []
    assert decisions.get("r1") is None


def test_large_pools_shorten_the_log() -> None:
    pool = [Endpoint(f"default/e{number}", "10.0.0.1", 80) for number in range(9000)]
    decisions = log()
    for number in range(4):
        decisions.add(DecisionRecord(), make_request(f"r{number}"), pool, 0.0)
    assert [decision.request_id for decision in decisions.latest(99)] == ["r3", "r2"]
    decisions.add(DecisionRecord(), make_request("huge"), pool * 1 + _more(20_000), 0.0)
    assert [decision.request_id for decision in decisions.latest(99)] == ["huge"]


def _more(number: int) -> list[Endpoint]:
    return [Endpoint(f"other/e{position}", "10.0.0.2", 80) for position in range(number)]


def test_of_two_requests_with_one_id_the_later_is_found() -> None:
    decisions = log()
    decisions.add(DecisionRecord(), make_request("same", model="first"), [], 0.0)
    decisions.add(DecisionRecord(), make_request("same", model="second"), [], 0.0)
    found = decisions.get("same")
    assert found is not None
    assert found.model == "second"


def test_ids_and_models_of_clients_are_made_printable_and_short() -> None:
    request_id = b"\xff\n".decode("utf-8", "surrogateescape") + "x" * 1000
    decisions = log()
    decisions.add(DecisionRecord(), make_request(request_id, model="\ud800"), [], 0.0)
    found = decisions.get(request_id)
    assert found is not None
    assert found.request_id == "\ufffd\ufffd" + "x" * 254
    assert found.model == "\ufffd"


@pytest.mark.parametrize(
    ("capacity", "rate", "message"),
    [
        pytest.param(0, 0.0, "capacity must be at least 1, not 0", id="no room"),
        pytest.param(1, 1.5, r"sample_rate must be within \[0, 1\], not 1.5", id="a rate above 1"),
        pytest.param(1, math.nan, r"sample_rate must be within \[0, 1\], not nan", id="a rate that is no number"),
    ],
)
def test_bounds_out_of_range_are_refused(capacity: int, rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecisionLog(capacity, rate)
