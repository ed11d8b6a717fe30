from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.sla.windows import SlidingWindow, Tally


def counted(window: SlidingWindow[Tally], *times: float) -> SlidingWindow[Tally]:
    for now in times:
        window.current(now).judged += 1
    return window


def judged(window: SlidingWindow[Tally], now: float) -> int:
    return sum(tally.judged for tally in window.values(now))


def test_what_is_older_than_the_window_is_forgotten_slice_by_slice() -> None:
    window = counted(SlidingWindow(12.0, Tally), 0.0, 0.5, 1.0)
    assert [judged(window, now) for now in (1.0, 11.99, 12.0, 12.99, 13.0)] == [3, 3, 1, 1, 0]


def test_looking_changes_nothing() -> None:
    window = counted(SlidingWindow(12.0, Tally), 5.0)
    assert judged(window, 1_000_000.0) == 0
    assert judged(window, 5.0) == 1


def test_a_time_before_the_latest_counts_as_the_latest() -> None:
    window = counted(SlidingWindow(12.0, Tally), 20.0, 3.0)
    assert judged(window, 31.9) == 2
    assert judged(window, 0.0) == 2


def test_values_come_in_the_order_of_time() -> None:
    window = SlidingWindow[list[float]](12.0, list)
    for now in (0.0, 0.5, 3.0, 7.0):
        window.current(now).append(now)
    assert window.values(8.0) == [[0.0, 0.5], [3.0], [7.0]]


@given(
    seconds=st.sampled_from([12.0, 300.0, 86_400.0]),
    steps=st.lists(st.floats(0.0, 100_000.0), max_size=60),
    later=st.floats(0.0, 100_000.0),
)
def test_a_window_holds_what_a_list_of_everything_holds(seconds: float, steps: list[float], later: float) -> None:
    window, times, now = SlidingWindow(seconds, Tally), [], 0.0
    for step in steps:
        now += step
        counted(window, now)
        times.append(now)
        assert len(window.values(now)) <= 12
    now += later
    width = seconds / 12
    assert judged(window, now) == sum(time // width > now // width - 12 for time in times)
    # The same in seconds: whatever is younger than 11 slices is in, whatever is as old as 12 is out.
    assert sum(now - time < 11 * width for time in times) <= judged(window, now)
    assert judged(window, now) <= sum(now - time < 12 * width * (1 + 1e-9) for time in times)
