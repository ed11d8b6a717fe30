import asyncio
from dataclasses import replace

from epp.flowcontrol.fakes import InFlight, request, settings
from epp.flowcontrol.pool import Heard
from turnout.config import Pipeline, load_pipeline
from turnout.epp.flowcontrol.admissions import Admissions
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.flowcontrol.shell import FlowControl
from turnout.epp.requests.admission import Admission
from turnout.framework import CycleState, Endpoint, Named, Refusal
from turnout.framework.testing import make_endpoint

CLOSED = load_pipeline("plugins: [{type: queue-scorer}]")
OPEN = replace(CLOSED, flow_control=settings())


class Full:
    def candidates(self) -> tuple[Endpoint, ...]:
        return (make_endpoint("a", in_flight=1),)


def admissions(pipeline: Pipeline) -> Admissions:
    return Admissions(Full(), Heard(), lambda error: None, asyncio.get_running_loop().time, pipeline)


async def test_without_flow_control_there_is_no_queue() -> None:
    made = admissions(CLOSED)
    assert isinstance(made.current, LegacyAdmission)
    assert made.limits() is None
    assert made.status() is None
    assert made.reprioritise("r", 1) == "flow control is off"
    made.wake()
    made.close()
    made.configure(CLOSED)
    assert isinstance(await made.current.enter(request(), CycleState(), None), Admission)


async def test_what_waits_stays_until_the_gate_is_closed() -> None:
    made = admissions(CLOSED)
    made.configure(OPEN)
    queue = made.current
    assert isinstance(queue, FlowControl)
    waiting = asyncio.ensure_future(queue.enter(request(), CycleState(), None))
    await asyncio.sleep(0)
    detector = Named(InFlight(), "other")
    made.configure(replace(OPEN, flow_control=settings(max_requests=3, detector=detector)))
    assert made.current is queue
    limits, status = made.limits(), made.status()
    assert limits is not None
    assert (limits.settings.max_requests, limits.total.requests) == (3, 1)
    assert status is not None
    assert status.queued == 1
    assert made.reprioritise("r", 5) == ""
    made.configure(CLOSED)
    assert type(made.current).__name__ == "LegacyAdmission"
    assert isinstance(await waiting, Admission)


async def test_a_closed_queue_refuses() -> None:
    made = admissions(OPEN)
    made.close()
    refused = await made.current.enter(request(), CycleState(), None)
    assert isinstance(refused, Refusal)
    assert refused.dropped_reason == "rejected-shutting-down"
