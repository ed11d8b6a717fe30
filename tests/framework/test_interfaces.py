import inspect

import pytest

from turnout.framework import Filter, Parser, ProfileHandler, Scorer, flow_control, interfaces
from turnout.framework.registry import _DISTINCTIVE

PROTOCOLS = [
    value
    for module in (interfaces, flow_control)
    for value in vars(module).values()
    if inspect.isclass(value) and getattr(value, "_is_protocol", False) and value.__module__ == module.__name__
]


def test_there_are_as_many_interfaces_as_there_are_ways_to_recognise_them() -> None:
    assert set(PROTOCOLS) == set(_DISTINCTIVE)
    assert len(PROTOCOLS) == 36


@pytest.mark.parametrize("interface", PROTOCOLS, ids=lambda interface: str(interface.__name__))
def test_the_methods_that_mark_an_interface_are_its_own(interface: type) -> None:
    assert all(inspect.isfunction(vars(interface)[name]) for name in _DISTINCTIVE[interface])


def test_interfaces_can_be_checked_at_run_time() -> None:
    assert isinstance(Score(), Scorer)
    assert not isinstance(Score(), Filter | ProfileHandler | Parser)


class Score:
    def score(self) -> None: ...
