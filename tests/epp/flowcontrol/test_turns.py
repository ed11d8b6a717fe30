from collections.abc import Sequence
from types import MappingProxyType

import pytest

from epp.flowcontrol.fakes import Aging, Ceilings, band, policies_of, request, settings
from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol.controller import FlowController
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.turns import Held, LaneView, next_turn
from turnout.framework import NEVER, Endpoint, Named, QueuedRequest
from turnout.framework.testing import make_endpoint

POOL = (make_endpoint("a"),)


def queue(made: FlowControlSettings, *waiting: tuple[str, str, int, float]) -> FlowController:
    """``waiting`` is (request id, lane, priority, arrival)."""
    core = FlowController(*policies_of(made, lambda error: None))
    for name, lane, priority, arrival in waiting:
        core.add(QueuedRequest(request(name, priority), arrival), lane, arrival, pool_empty=False)
    return core


def turn(core: FlowController, now: float, **saturations: float) -> str | list[Held]:
    core.advance(now)
    views = [(lane, LaneView(POOL, saturations[lane.name])) for lane in core.lanes]
    found = next_turn(views, core.policies, now)
    return found.waiting.request.request_id if isinstance(found, Entry) else list(found)


def test_a_held_back_band_holds_back_those_below() -> None:
    limits = Named(Ceilings(by_priority={5: 0.5, 0: 0.9}), "limits")
    core = queue(settings(usage_limit=limits), ("high", "all", 5, 1.0), ("low", "all", 0, 1.0))
    assert turn(core, 2.0, all=0.4) == "high"
    assert turn(core, 2.0, all=0.6) == [Held("all", 5, 0.6, 0.5)]


def test_an_overdue_request_is_held_back_only_where_the_highest_priority_would_be() -> None:
    limits = Named(Ceilings(by_priority={5: 1.0, 0: 0.5}), "limits")
    aging = Aging(step=NEVER, max_wait=10.0)
    bands = MappingProxyType({5: band(aging), 0: band(aging)})
    core = queue(settings(ordering=aging, bands=bands, usage_limit=limits), ("low", "all", 0, 0.0))
    assert turn(core, 9.0, all=0.7) == [Held("all", 0, 0.7, 0.5)]
    assert turn(core, 10.0, all=0.7) == "low"
    assert turn(core, 10.0, all=1.0) == [Held("all", 0, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("waiting", "first"),
    [
        pytest.param([("a", "x", 0, 1.0), ("b", "y", 5, 2.0)], "b", id="the highest priority of all lanes"),
        pytest.param([("a", "x", 5, 2.0), ("b", "y", 5, 1.0)], "a", id="then who came first"),
        pytest.param([("a", "x", 5, 99.0), ("b", "y", 0, 0.0)], "b", id="an overdue one before all"),
        pytest.param([("a", "x", 5, 1.0), ("b", "y", 0, 0.0)], "b", id="the longest overdue before others"),
    ],
)
def test_of_several_lanes_one_goes_first(waiting: list[tuple[str, str, int, float]], first: str) -> None:
    core = queue(settings(ordering=Aging(step=NEVER, max_wait=50.0)), *waiting)
    now = 100.0 if waiting[0][3] == 99.0 or (first == "b" and waiting[1][3] == 0.0) else 10.0
    assert turn(core, now, x=0.0, y=0.0) == first


def test_a_request_that_does_not_fit_waits_and_is_not_overtaken_in_its_lane() -> None:
    class Small:
        def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
            return item.request.size_bytes < 100

    made = settings(gates=(Named(Small(), "small"),))
    core = queue(made, ("small", "all", 0, 1.0))
    core.add(QueuedRequest(request("large", 5, size=1000), 2.0), "all", 2.0, pool_empty=False)
    assert turn(core, 3.0, all=0.0) == [Held("all", 5, 0.0, 1.0)]


def test_without_endpoints_nothing_goes() -> None:
    core = queue(settings(), ("r", "all", 0, 1.0))
    assert next_turn([(core.lanes[0], LaneView((), 0.0))], core.policies, 2.0) == [Held("all", 0, 0.0, 1.0)]
