import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.plugins.fairness.programs import MAX_LABELS, MAX_PROGRAMS, ProgramFigures, Programs


def programs(half_life: float = 60.0, ttl: float = 3600.0, sweep: float = 300.0) -> Programs:
    return Programs(half_life, ttl, sweep)


def test_service_halves_with_time() -> None:
    known = programs(half_life=10.0)
    known.served("a", 800.0, 100.0)
    assert known.service("a", 100.0) == 800.0
    assert known.service("a", 110.0) == pytest.approx(400.0)
    known.served("a", 100.0, 120.0)
    assert known.service("a", 120.0) == pytest.approx(300.0)
    assert known.service("a", 140.0) == pytest.approx(75.0)
    assert known.service("a", 1e9) == 0.0


def test_a_program_that_is_not_known_got_nothing() -> None:
    assert programs().service("a", 1.0) == 0.0


def test_service_does_not_grow_when_time_stands_still_or_runs_back() -> None:
    known = programs()
    known.served("a", 100.0, 50.0)
    assert known.service("a", 40.0) == 100.0


def test_a_program_that_did_nothing_is_forgotten_at_the_next_sweep() -> None:
    known = programs(ttl=100.0, sweep=30.0)
    known.dispatched("idle", 1.0, 25.0)
    known.dispatched("busy", 1.0, 95.0)
    known.dispatched("busy", 1.0, 99.0)
    assert len(known) == 2
    known.dispatched("busy", 1.0, 110.0)
    assert len(known) == 2, "no sweep is due before 125"
    known.dispatched("busy", 1.0, 125.0)
    assert len(known) == 1
    assert known.average_waits() == [1.0]


def test_the_longest_idle_program_makes_room() -> None:
    known = programs()
    for number in range(MAX_PROGRAMS):
        known.served(f"p{number}", 1.0, 0.0)
    known.dispatched("p0", 1.0, 1.0)
    known.served("new", 1.0, 2.0)
    assert len(known) == MAX_PROGRAMS
    assert (known.service("p0", 0.0), known.service("p1", 0.0)) == (1.0, 0.0)


def test_long_ids_take_bounded_room() -> None:
    known = programs()
    known.served("x" * 100_000, 5.0, 0.0)
    assert known.service("x" * 100_000, 0.0) == 5.0
    assert [len(label) for label in known.figures()] == [256]


def test_figures_are_of_programs_up_to_a_bound_and_of_all_others_together() -> None:
    known = programs()
    known.dispatched("unprintable\n", 8.0, 0.0)
    for number in range(MAX_LABELS + 2):
        known.dispatched(f"p{number}", float(number), 0.0)
    known.served("p501", 7.0, 0.0)
    figures = known.figures()
    assert len(figures) == MAX_LABELS + 1
    assert figures["p0"] == ProgramFigures(0.0, 1, 0.0)
    # 500, 501 and the one that cannot be printed.
    assert figures["other"] == ProgramFigures(7.0, 3, 1009.0)
    assert figures["other"].average_wait == pytest.approx(336.333, abs=0.001)


def test_labels_are_given_away_for_good() -> None:
    known = programs(ttl=10.0, sweep=10.0)
    for number in range(MAX_LABELS):
        known.dispatched(f"p{number}", 1.0, 0.0)
    known.dispatched("late", 1.0, 100.0)
    assert set(known.figures()) == {"other"}
    known.dispatched("p3", 1.0, 101.0)
    assert set(known.figures()) == {"other", "p3"}


def test_without_dispatches_the_average_wait_is_nothing() -> None:
    assert ProgramFigures(service=3.0).average_wait == 0.0


@settings(max_examples=30)
@given(
    events=st.lists(
        st.tuples(st.text(max_size=3), st.floats(0.0, 1e9), st.floats(0.0, 50.0), st.booleans()), max_size=60
    )
)
def test_every_event_is_in_the_figures_until_its_program_is_forgotten(
    events: list[tuple[str, float, float, bool]],
) -> None:
    known, now, active = programs(ttl=100.0, sweep=1.0), 0.0, dict[str, float]()
    for program_id, amount, passed, is_dispatch in events:
        now += passed
        if is_dispatch:
            known.dispatched(program_id, amount, now)
        else:
            known.served(program_id, amount, now)
        active[program_id] = now
        alive = {name for name, at in active.items() if now - at < 100.0}
        assert alive <= {name for name in active if known._programs.get(name)}
        assert len(known) <= len({name for name, at in active.items() if now - at < 101.0 + passed})
        assert all(figures.service >= 0.0 for figures in known.figures().values())
