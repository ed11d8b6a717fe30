from epp.requests.fakes import CHAT, House
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.framework import Headers, Termination


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
    assert [completion.cause for completion in house.reports.completions] == [Termination.ERROR]
    assert (len(house.leases), house.in_flight()) == (1, 1)


async def test_more_than_the_capacity_gives_up_the_oldest() -> None:
    house = House(lease_capacity=2)
    await fill(house, "one", "two", "three")
    assert (len(house.leases), house.in_flight()) == (2, 2)
