import aiohttp
import pytest

from turnout.epp.demo.gateways import free_ports, started_gateway
from turnout.epp.demo.servers import ChildError


def test_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5


async def test_one_server_that_does_not_start_is_an_error_whatever_the_others_do() -> None:
    with pytest.raises(ChildError, match=r"sim-server did not start: .*max_num_seqs must be at least 1"):
        async with started_gateway([(), ("--max-num-seqs", "0")], ()):
            pass


@pytest.mark.integration
async def test_a_gateway_has_a_picker_and_the_servers_that_were_asked_for() -> None:
    labels = [{"gpu-type": "fast"}, {"gpu-type": "slow", "zone": "a"}]
    async with started_gateway([("--seed", "1"), ("--seed", "2")], (), labels) as gateway:
        assert len(set(gateway.server_urls)) == 2
        assert gateway.admin_url is not None
        assert gateway.url.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/endpoints") as response:
            endpoints = (await response.json())["endpoints"]
        assert [endpoint["labels"] for endpoint in endpoints] == labels
