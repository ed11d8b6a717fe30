import inspect

import pytest

from turnout.framework import Filter, FlowHead, Parser, ProfileHandler, QueuedRequest, Scorer, interfaces
from turnout.framework.registry import _DISTINCTIVE
from turnout.framework.testing import make_request

PROTOCOLS = [
    value
    for value in vars(interfaces).values()
    if inspect.isclass(value) and getattr(value, "_is_protocol", False) and value.__module__ == interfaces.__name__
]


def test_there_are_as_many_interfaces_as_there_are_ways_to_recognise_them() -> None:
    assert set(PROTOCOLS) == set(_DISTINCTIVE)
    assert len(PROTOCOLS) == 24


@pytest.mark.parametrize("interface", PROTOCOLS, ids=lambda interface: str(interface.__name__))
def test_the_methods_that_mark_an_interface_are_its_own(interface: type) -> None:
    assert all(inspect.isfunction(vars(interface)[name]) for name in _DISTINCTIVE[interface])


def test_interfaces_can_be_checked_at_run_time() -> None:
    assert isinstance(Score(), Scorer)
    assert not isinstance(Score(), Filter | ProfileHandler | Parser)


class Score:
    def score(self) -> None: ...


def test_a_queued_request_without_a_deadline_waits_for_ever() -> None:
    queued = QueuedRequest(make_request(), enqueued_at=1.0)
    assert queued.deadline == float("inf")
    assert FlowHead("tenant", queued, 3).head is queued
