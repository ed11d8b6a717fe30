from datetime import UTC, datetime

import pytest
from rich.console import Console

from turnout.epp.observe.decisions import StoredDecision, StoredEndpoint, StoredProfile, StoredScorer
from turnout.epp.observe.report import render_decision
from turnout.framework import FilterRecord, WaitRecord

A, B, C = "default/a", "default/b", "default/c"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCORERS = (
    StoredScorer("queue-scorer", 2.0, {A: 0.5, B: 1.0}, {A: 1.0, B: 2.0}),
    StoredScorer("prefix-cache-scorer", 3.0, {A: 1.0, B: 0.0}, {A: 3.0, B: 0.0}),
)
PROFILE = StoredProfile(
    "default",
    (A, B, C),
    (FilterRecord("by-label", (A, B), (C,)), FilterRecord("healthy", (A, B), ())),
    SCORERS,
    {A: 4.0, B: 2.0},
    "max-score-picker",
    (A, B),
    runner_up=B,
    margin=2.0,
)
KNOWN = {A: StoredEndpoint(3, 4, 0.25, 5, 0.0421)}


def shown(*profiles: StoredProfile, model: str = "m", target: str = "m", width: int = 140) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_decision(StoredDecision("r1", model, target, WHEN, profiles, KNOWN)))
    return capture.get()


def row(text: str, endpoint: str) -> list[str]:
    (cells,) = [line.split() for line in text.splitlines() if endpoint in line.split()[:2]]
    return cells


def test_the_head_names_request_model_and_time() -> None:
    assert shown(PROFILE).splitlines()[0] == "Request r1  model m  at 2026-01-02 03:04:05 UTC"
    assert "model alias -> m" in shown(PROFILE, model="alias")


def test_the_wait_is_told_in_a_line() -> None:
    wait = WaitRecord(2.5, 0, 5, True, "normal", "tenant", 0.875, "fcfs; among flows: strict")
    console = Console(width=140, color_system=None)
    with console.capture() as capture:
        console.print(render_decision(StoredDecision("r1", "m", "m", WHEN, (PROFILE,), KNOWN, wait)))
    assert capture.get().splitlines()[1].rstrip() == (
        "Waited 2.500 s with priority 0 (normal), counted as 5, overdue in flow tenant; pool 88% full; "
        "fcfs; among flows: strict"
    )


def test_the_handler_s_reasons_are_told_line_by_line() -> None:
    console = Console(width=140, color_system=None)
    reasons = ("default: picked default/a", "small [m]: cheaper")
    with console.capture() as capture:
        console.print(render_decision(StoredDecision("r1", "m", "m", WHEN, (PROFILE,), KNOWN, None, reasons)))
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines[1:3] == ["- default: picked default/a", "- small [m]: cheaper"]


def test_each_filter_has_its_verdict() -> None:
    text = shown(PROFILE)
    assert "filter by-label: kept 2, dropped 1 (default/c)" in text
    assert "filter healthy: kept all 2" in text


def test_rows_have_metrics_weighted_scores_and_the_total_and_mark_the_pick() -> None:
    text = shown(PROFILE)
    assert row(text, "a") == ["->", "a", "3", "4", "25%", "5", "42ms", "1.000", "3.000", "4.000"]
    assert row(text, "b") == ["+", "b", "-", "-", "-", "-", "-", "2.000", "0.000", "2.000"]
    assert row(text, "c") == ["x", "c", "-", "-", "-", "-", "-", "-", "-", "-"]
    assert " ".join(row(text, "endpoint")) == "endpoint wait run KV sent age queue x2 prefix cache x3 total"


def test_a_decision_fits_a_narrow_terminal_without_losing_a_number() -> None:
    text = shown(PROFILE, width=72)
    assert max(map(len, text.splitlines())) <= 72
    assert row(text, "a") == ["->", "a", "3", "4", "25%", "5", "42ms", "1.000", "3.000", "4.000"]


def test_names_of_several_namespaces_stay_whole() -> None:
    totals: dict[str, float | None] = {"x/a": 2.0, "y/a": 1.0}
    profile = StoredProfile("p", tuple(totals), (), (), totals, "picker", ("x/a",), runner_up="y/a", margin=1.0)
    assert row(shown(profile), "y/a")[-1] == "1.000"


@pytest.mark.parametrize(
    ("problem", "runner_up", "margin", "sentence"),
    [
        pytest.param("", B, 2.0, "Picked default/a by max-score-picker, 2.000 ahead of default/b.", id="ahead"),
        pytest.param("", B, -0.5, "Picked default/a by max-score-picker, 0.500 behind default/b.", id="behind"),
        pytest.param("", B, 0.0, "Picked default/a by max-score-picker; default/b has the same total.", id="a tie"),
        pytest.param("", None, None, "Picked default/a by max-score-picker; it was the only one left.", id="alone"),
        pytest.param("no candidates", None, None, "Nothing picked: no candidates.", id="nothing"),
    ],
)
def test_the_last_line_says_what_was_picked_and_by_how_much(
    problem: str, runner_up: str | None, margin: float | None, sentence: str
) -> None:
    profile = StoredProfile("p", (A, B), (), (), {A: 1.0, B: 1.0}, "max-score-picker", (A,), problem, runner_up, margin)
    assert shown(profile).splitlines()[-1] == sentence


def test_a_large_pool_shows_its_best_twenty_and_counts_the_rest() -> None:
    totals: dict[str, float | None] = {f"default/e{number:02}": float(number) for number in range(30)}
    profile = StoredProfile("p", tuple(totals), (), (), totals, "picker", ("default/e05",), runner_up=A, margin=0.1)
    text = shown(profile)
    assert row(text, "e05")[0] == "->"
    assert row(text, "e29")
    assert "e10 " not in text
    assert "and 10 more" in text


def test_many_dropped_endpoints_are_counted_and_not_all_named() -> None:
    names = tuple(f"e{number}" for number in range(9))
    profile = StoredProfile("p", (A, *names), (FilterRecord("f", (A,), names),), (), {A: 0.0}, "picker", (A,))
    assert "dropped 9 (e0, e1, e2, e3, e4, e5 and 3 more)" in shown(profile)


def test_names_with_brackets_are_shown_as_they_are() -> None:
    assert "model [red]x[/nonsense]" in shown(PROFILE, model="[red]x[/nonsense]", target="")


def test_a_decision_without_a_profile_says_so() -> None:
    assert "No profile ran." in shown()
