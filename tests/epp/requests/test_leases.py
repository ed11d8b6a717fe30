from epp.requests.fakes import CHAT, House
from turnout.epp.requests.dispatch import Dispatch, LoggedEnd
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.requests.leases import MAX_EARLY_ENDS
from turnout.framework import Headers, Termination

LEFT = LoggedEnd(Termination.CLIENT_DISCONNECT, None, None, 0, False, None, 0)


async def fill(house: House, *leases: str) -> None:
    for lease in leases:
        head = RequestHead(Headers([(":path", "/v1/chat/completions")]), lease=lease)
        await house.director.route(head, RequestBody(CHAT))


async def test_a_lost_end_is_given_up_after_the_time_limit() -> None:
    house = House()
    await fill(house, "one")
    house.clock.now += 30.0
    await fill(house, "two")
    house.clock.now += 30.0
    assert house.leases.sweep(house.clock()) == 1
    assert [completion.cause for completion in house.reports.completions] == [Termination.LOST]
    assert (len(house.leases), house.in_flight()) == (1, 1)


async def test_more_than_the_capacity_gives_up_the_oldest() -> None:
    house = House(lease_capacity=2)
    await fill(house, "one", "two", "three")
    assert (len(house.leases), house.in_flight()) == (2, 2)


async def test_a_dispatch_that_ends_otherwise_leaves_nothing_in_the_book() -> None:
    house = House()
    head = RequestHead(Headers([(":path", "/v1/chat/completions")]), lease="one")
    sent = await house.director.route(head, RequestBody(CHAT))
    assert isinstance(sent, Dispatch)
    sent.finish(Termination.CLIENT_DISCONNECT)
    assert (len(house.leases), house.in_flight()) == (0, 0)


async def test_an_end_that_overtakes_its_dispatch_ends_it() -> None:
    house = House()
    assert not house.leases.ended("one", LEFT)
    await fill(house, "one")
    assert (len(house.leases), house.in_flight()) == (0, 0)
    assert [completion.cause for completion in house.reports.completions] == [Termination.CLIENT_DISCONNECT]


async def test_early_ends_are_bounded_the_oldest_goes_first() -> None:
    house = House()
    for number in range(MAX_EARLY_ENDS + 1):
        house.leases.ended(f"lease {number}", LEFT)
    await fill(house, "lease 0", "lease 1")
    assert (len(house.leases), house.in_flight()) == (1, 1)
