import aiohttp
import pytest

from turnout.epp.demo.report import ServerCounts
from turnout.epp.demo.servers import Child, ChildError, TokenCounts, read_counts, read_tokens


async def test_a_child_announces_itself_serves_and_is_gone_afterwards() -> None:
    async with (
        Child("sim-server", "--port", "0", "--model", "m", "--json") as server,
        aiohttp.ClientSession() as session,
    ):
        url = str(server.announced["url"])
        body = {"model": "m", "prompt": "x" * 400, "max_tokens": 2}
        async with session.post(f"{url}/v1/completions", json=body) as response:
            assert response.status == 200
        assert await read_tokens([url]) == [TokenCounts(100, 2)]
        assert await read_counts([url]) == {url.removeprefix("http://"): ServerCounts(1, 100.0, 0.0)}
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/health")


async def test_a_child_that_does_not_start_says_why() -> None:
    with pytest.raises(
        ChildError, match=r"sim-server did not start: turnout: port must be between 0 and 65535, got 70000"
    ):
        async with Child("sim-server", "--port", "70000", "--json"):
            pass
