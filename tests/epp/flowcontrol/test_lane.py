from epp.flowcontrol.fakes import Strict, request
from turnout.epp.flowcontrol.band import Band
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.lane import MAX_IDLE_BANDS, Lane
from turnout.framework import Named, QueuedRequest


def lane() -> Lane:
    return Lane("all", lambda priority: Band(priority, Named(Strict(), "strict"), Guard(lambda error: None)), 0.0)


def entry(number: int, priority: int) -> Entry:
    return Entry(QueuedRequest(request(str(number), priority), float(number)), "all", number)


def test_bands_are_those_with_requests_highest_first() -> None:
    made = lane()
    entries = [entry(number, priority) for number, priority in enumerate((0, 5, -1, 5))]
    for each in entries:
        made.add(each, 0.0)
    assert [band.priority for band in made.bands] == [5, 0, -1]
    assert (made.highest, made.length, made.band(5).length) == (5, 4, 2)
    assert [made.ahead(priority) for priority in (5, 1, 0, -1)] == [2, 2, 3, 4]
    made.discard(entries[1], 0.0)
    made.dispatch(entries[3], 0.0)
    assert [band.priority for band in made.bands] == [0, -1]
    assert set(made) == {entries[0], entries[2]}


def test_the_longest_overdue_comes_first_and_those_that_left_do_not_count() -> None:
    made = lane()
    entries = [entry(number, 0) for number in range(3)]
    for each, overdue_at in zip(entries, (5.0, 3.0, 4.0), strict=True):
        each.overdue_at = overdue_at
        made.add(each, 0.0)
        made.mark_overdue(each)
    assert made.first_overdue() is entries[1]
    made.discard(entries[1], 0.0)
    entries[1].leave()
    entries[2].overdue_at = 9.0
    assert made.first_overdue() is entries[0]


def test_idle_bands_are_few() -> None:
    made = lane()
    for priority in range(1000):
        each = entry(priority, priority)
        made.add(each, 0.0)
        made.discard(each, 0.0)
    assert len(made._bands) <= MAX_IDLE_BANDS + 1
