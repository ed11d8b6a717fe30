from epp.requests.fakes import House
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import Exchange, RequestBody, RequestHead
from turnout.framework import Headers


async def test_a_dispatch_is_an_exchange() -> None:
    outcome = await House().director.route(RequestHead(Headers()), RequestBody(b'{"model":"m","prompt":"x"}'))
    assert isinstance(outcome, Dispatch)
    exchange: Exchange = outcome
    assert exchange.routed.destination.startswith("10.0.0.")
