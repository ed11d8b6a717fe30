import asyncio
from dataclasses import replace

from epp.flowcontrol.fakes import InFlight, request, settings
from turnout.config import load_pipeline
from turnout.epp.flowcontrol.choice import Surroundings, admission_for
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.flowcontrol.observer import Unobserved
from turnout.epp.flowcontrol.shell import FlowControl
from turnout.epp.requests.admission import Admission
from turnout.framework import CycleState, Endpoint, Named
from turnout.framework.testing import make_endpoint


class Full:
    def candidates(self) -> tuple[Endpoint, ...]:
        return (make_endpoint("a", in_flight=1),)


async def test_what_waits_stays_until_the_gate_is_closed() -> None:
    loop = asyncio.get_running_loop()
    around = Surroundings(Full(), Unobserved(), lambda error: None, loop.time)
    closed = load_pipeline("plugins: [{type: queue-scorer}]")
    opened = replace(closed, flow_control=settings())
    first = admission_for(closed, around)
    assert isinstance(first, LegacyAdmission)
    queue = admission_for(opened, around, first)
    assert isinstance(queue, FlowControl)
    waiting = asyncio.ensure_future(queue.enter(request(), CycleState(), None))
    await asyncio.sleep(0)
    changed = replace(opened, flow_control=settings(max_requests=3, detector=Named(InFlight(), "other")))
    assert admission_for(changed, around, queue) is queue
    assert (queue.settings.max_requests, queue.controller.length) == (3, 1)
    assert isinstance(admission_for(closed, around, queue), LegacyAdmission)
    assert isinstance(await waiting, Admission)
