from types import MappingProxyType

from epp.flowcontrol.fakes import Windows, band, request, settings
from epp.flowcontrol.pool import Pool
from turnout.epp.flowcontrol.status import MOST_LOOKED_AT, PriorityStatus, queue_status
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.framework import Named, QueuedRequest


def test_a_status_shows_each_priority_highest_first() -> None:
    run_virtually(_statuses())


async def _statuses() -> None:
    pool = Pool(made=settings(bands=MappingProxyType({9: band(max_requests=7)}), strategy="priority"))
    for number, (priority, flow, level) in enumerate([(0, "a", "normal"), (0, "b", "usual"), (-1, "a", "")]):
        item = QueuedRequest(request(f"r{number}", priority, flow, level=level), pool.loop.time() - number)
        pool.flow.controller.add(item, "all", pool.loop.time(), pool_empty=False)
    found = queue_status(pool.flow, pool.loop.time() + 1.0)
    assert (found.queued, found.size_bytes, found.saturation, found.strategy) == (3, 30, 0.0, "priority")
    assert found.expected_wait_seconds is None
    assert found.deferred == 0
    assert list(found.priorities) == [
        PriorityStatus(9, 0, 0, 7),
        PriorityStatus(0, 2, 20, 5000, ["normal", "usual"], 2, 2.0),
        PriorityStatus(-1, 1, 10, 5000, [], 1, 3.0),
    ]


def test_a_status_tells_what_is_deferred() -> None:
    run_virtually(_deferred())


async def _deferred() -> None:
    pool = Pool(made=settings(deferral_policies=(Named(Windows(length=1e9), "later"),)))
    for number, level in enumerate(["later", "", "later"]):
        item = QueuedRequest(request(f"r{number}", level=level), pool.loop.time())
        pool.flow.controller.add(item, "all", pool.loop.time(), pool_empty=False)
    found = queue_status(pool.flow, pool.loop.time())
    assert (found.queued, found.deferred) == (3, 2)
    assert [(each.queued, each.deferred) for each in found.priorities] == [(3, 2)]


def test_a_long_queue_is_not_looked_through() -> None:
    run_virtually(_long())


async def _long() -> None:
    pool = Pool(made=settings(default_band=band(max_requests=30_000)))
    for number in range(MOST_LOOKED_AT + 1):
        item = QueuedRequest(request(str(number)), pool.loop.time())
        pool.flow.controller.add(item, "all", pool.loop.time(), pool_empty=False)
    (found,) = queue_status(pool.flow, pool.loop.time()).priorities
    assert found == PriorityStatus(0, 20_001, 200_010, 30_000)
