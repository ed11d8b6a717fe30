from collections.abc import Callable

import pytest

from turnout.plugins.topology.document import parse
from turnout.plugins.topology.machine import NvLink

GB = 10**9


@pytest.mark.parametrize(
    ("name", "gpu", "count", "first"),
    [
        pytest.param(
            "eight H100 with NVSwitch",
            0,
            18,
            NvLink(
                link=0,
                active=True,
                peer="switch",
                peer_bus_id="00000000:07:00.0",
                version="4.0",
                bytes_per_second=26_562_000_000,
            ),
            id="to a switch, with the speed that the driver tells",
        ),
        pytest.param(
            "four A100 in pairs",
            2,
            12,
            NvLink(
                link=0,
                active=True,
                peer="gpu",
                peer_gpu=3,
                peer_bus_id="00000000:E3:00.0",
                version="3.1",
                bytes_per_second=25 * GB,
            ),
            id="to a GPU, with the speed of its version",
        ),
        pytest.param("a broken machine", 0, 12, NvLink(link=0, active=False, peer="unknown"), id="down"),
        pytest.param("four L4 without NVLink", 0, 0, None, id="none"),
    ],
)
def test_links_have_peer_version_and_bandwidth(
    name: str, gpu: int, count: int, first: NvLink | None, printed_by: Callable[..., str]
) -> None:
    links = parse(printed_by(name, "--json").encode()).gpus[gpu].nvlinks
    assert len(links) == count
    assert next(iter(links), None) == first
