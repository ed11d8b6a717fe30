from datetime import timedelta

import pytest

from turnout.framework import Quantity
from turnout.plugins.topology.keys import Reach
from turnout.plugins.topology.network import DEFAULT_NETWORK, Link


def test_farther_is_never_faster() -> None:
    links = [DEFAULT_NETWORK.link(reach) for reach in Reach]
    assert [link.bandwidth for link in links] == sorted((link.bandwidth for link in links), reverse=True)
    assert [link.latency for link in links] == sorted(link.latency for link in links)


@pytest.mark.parametrize(
    ("bandwidth", "latency", "problem"),
    [
        pytest.param(0, 0, "bandwidth must be above 0, got 0", id="no bandwidth"),
        pytest.param(1, -1, "latency must be at least 0, got -1 s", id="before it was sent"),
    ],
)
def test_a_link_that_cannot_be_is_refused(bandwidth: int, latency: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Link(Quantity(bandwidth), timedelta(seconds=latency))
