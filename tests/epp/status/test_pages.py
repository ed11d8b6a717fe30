import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from epp.doctor.pickers import served
from epp.status.pickers import advice, endpoint, picker, target
from turnout.epp.admin.autoscaling_pages import add_autoscaling_pages
from turnout.epp.admin.queue_pages import QueueSources, add_queue_pages
from turnout.epp.admin.reading import PickerNotAskedError
from turnout.epp.admin.sla_pages import SlaSources, add_sla_pages
from turnout.epp.flowcontrol.status import PriorityStatus, QueueStatus
from turnout.epp.observe.events import EventHub
from turnout.epp.status.pages import (
    AdvicePage,
    BandPage,
    EndpointPage,
    Load,
    QueuePage,
    Status,
    TargetPage,
    Value,
    WindowPage,
    fetch_status,
)
from turnout.framework import SLA_VIOLATION, PluginError, ScalingAdvice, SlaStatus, SlaWindow


async def test_the_pages_of_a_picker_are_read() -> None:
    with served(picker()) as url:
        status = await fetch_status(url)
    assert status.not_ready == ""
    load = Load(Value(2, 0.05), Value(1200, 0.25), Value(0.5, None))
    assert status.endpoints == [
        EndpointPage("default/a", in_service=True, in_flight=6, metrics=load),
        EndpointPage("default/b", in_service=False, reason="connection refused", in_flight=0),
    ]
    assert status.queue is not None
    assert (status.queue.queued, status.queue.strategy) == (12, "slo-first")
    assert status.queue.bands[0] == BandPage(10, "gold", 2, 400_000, 0.5, 5000, 1)
    (read,) = status.targets
    assert (read.target, read.short, read.observed_seconds["0.99"]) == (
        "chat",
        WindowPage(300.0, 1000, 0.99954, 0.5),
        0.4321,
    )
    assert status.is_fine


async def test_the_page_of_promises_is_the_one_that_a_picker_writes() -> None:
    burning = SlaStatus("t", "e2e", 90.0, None, SlaWindow(300.0, 9, 0.5, 5.0), SlaWindow(3600.0, 9, 0.5, 5.0))
    app = picker(targets=None)
    add_sla_pages(app, SlaSources(lambda: {"tracker": [burning]}, EventHub(SLA_VIOLATION, unexpected)))
    with served(app) as url:
        status = await fetch_status(url)
    window = WindowPage(300.0, 9, 0.5, 5.0), WindowPage(3600.0, 9, 0.5, 5.0)
    assert status.targets == [TargetPage("tracker", "t", "e2e", 90.0, None, *window)]
    assert not status.is_fine


async def test_the_page_of_the_queue_is_the_one_that_a_picker_writes() -> None:
    band = PriorityStatus(5, 3, 300, 100, ["high", "urgent"], 2, 1.5)
    app = picker(queue=None)
    add_queue_pages(app, QueueSources(lambda: QueueStatus(3, 300, 1.25, "adaptive", None, [band], deferred=2)))
    with served(app) as url:
        status = await fetch_status(url)
    assert status.queue == QueuePage(
        enabled=True,
        queued=3,
        bytes=300,
        saturation=1.25,
        strategy="adaptive",
        bands=[BandPage(5, "high, urgent", 3, 300, 1.5, 100, 2)],
        deferred=2,
    )


async def test_the_page_of_advice_is_the_one_that_a_picker_writes() -> None:
    app = picker()
    advised = ScalingAdvice("llama", "tokens", 3, 2, 2.5, 1, 10, "load")
    add_autoscaling_pages(app, lambda: {"advisor": [advised]})
    with served(app) as url:
        status = await fetch_status(url)
    assert status.advice == [AdvicePage("advisor", "llama", "tokens", 3, 2, 2.5, 1, 10, "load")]


def unexpected(error: PluginError) -> None:
    raise error


async def test_an_older_picker_has_no_queue_and_no_promises_to_show() -> None:
    with served(picker(queue=None, targets=None)) as url:
        status = await fetch_status(url)
    assert (status.queue, status.targets, status.advice, status.is_fine) == (None, (), (), True)


async def test_a_queue_that_is_off_says_nothing_more() -> None:
    with served(picker(queue={"enabled": False})) as url:
        assert (await fetch_status(url)).queue == QueuePage(enabled=False)


@pytest.mark.parametrize(
    ("app", "is_fine"),
    [
        pytest.param(picker(), True, id="all is well"),
        pytest.param(picker(readyz=(503, "draining\n")), False, id="not ready"),
        pytest.param(picker(targets=[target(1.1, 1.1)]), False, id="burning"),
        pytest.param(picker(targets=[target(50.0, 0.9)]), True, id="burning for a moment only"),
        pytest.param(picker(targets=[target(0.9, 50.0)]), True, id="not burning any more"),
        pytest.param(picker(targets=[target(), target(2.0, 2.0)]), False, id="one of two burning"),
        pytest.param(picker(targets=[target(float("nan"), float("nan"))]), True, id="no numbers"),
        pytest.param(picker(endpoints=[]), True, id="no endpoints, which is for the picker to judge"),
    ],
)
async def test_a_picker_is_fine_when_it_is_ready_and_nothing_burns(app: web.Application, *, is_fine: bool) -> None:
    with served(app) as url:
        assert (await fetch_status(url)).is_fine is is_fine


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        pytest.param(picker(readyz=(404, "")), "/readyz answered 404", id="no picker"),
        pytest.param(picker(endpoints=None), "/endpoints is not a page", id="no list of endpoints"),
        pytest.param(picker(endpoints=[{"address": "x"}]), "/endpoints is not a page", id="an endpoint without name"),
        pytest.param(picker(endpoints=[endpoint(in_flight="many")]), "/endpoints is not a page", id="no number"),
        pytest.param(picker(queue={}), "/queue is not a page", id="a queue that does not say whether it is one"),
        pytest.param(picker(targets=[{"target": "t"}]), "/sla is not a page", id="half a target"),
        pytest.param(picker(advised=[{"group": "x"}]), "/autoscaling is not a page", id="half an advice"),
        pytest.param(picker(endpoints=[endpoint("x" * 200_000)]), "/endpoints is longer than 100000", id="too long"),
    ],
)
async def test_pages_that_are_not_what_they_should_be_are_an_error(app: web.Application, problem: str) -> None:
    with served(app) as url, pytest.raises(PickerNotAskedError, match=problem):
        await fetch_status(url, max_bytes=100_000)


async def test_a_status_as_json() -> None:
    with served(picker(targets=[target(2.0, 2.0)], advised=[advice(needed=float("inf"))])) as url:
        shown = (await fetch_status(url)).as_dict()
    assert [shown[name] for name in ("fine", "ready", "reason")] == [False, True, ""]
    document = json.loads(json.dumps(shown, allow_nan=False))
    assert document["endpoints"][0]["metrics"]["running_requests"] == {"value": 1200, "age_seconds": 0.25}
    assert document["queue"]["bands"][1]["max_requests"] is None
    assert (document["targets"][0]["target"], document["targets"][0]["burning"]) == ("chat", True)
    assert (document["advice"][0]["desired"], document["advice"][0]["needed"]) == (4, None)


numbers = st.none() | st.integers() | st.floats()
words = st.text(max_size=20)
values = st.builds(Value, numbers, numbers)
windows = st.builds(WindowPage, numbers, numbers, numbers, numbers)
statuses = st.builds(
    Status,
    words,
    st.lists(st.builds(EndpointPage, words, st.booleans(), words, numbers, st.builds(Load, values, values, values))),
    st.none()
    | st.builds(
        QueuePage,
        st.booleans(),
        numbers,
        numbers,
        numbers,
        words,
        numbers,
        st.lists(st.builds(BandPage, numbers, words, numbers, numbers, numbers, numbers, numbers), max_size=3),
    ),
    st.lists(
        st.builds(
            TargetPage,
            words,
            words,
            words,
            numbers,
            numbers,
            windows,
            windows,
            st.dictionaries(words, words, max_size=2),
            st.dictionaries(words, numbers, max_size=2),
        ),
        max_size=3,
    ),
    st.lists(
        st.builds(AdvicePage, words, words, words, numbers, numbers, numbers, numbers, numbers, words), max_size=3
    ),
)


@given(status=statuses)
def test_whatever_the_pages_say_is_json(status: Status) -> None:
    assert json.loads(json.dumps(status.as_dict(), allow_nan=False))["fine"] is status.is_fine
