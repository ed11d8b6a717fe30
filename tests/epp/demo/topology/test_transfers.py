import math
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from turnout.epp.datalayer.exposition import Sample
from turnout.epp.demo.topology.machines import POOL
from turnout.epp.demo.topology.transfers import quantile, read_transfers, seats, tell_links
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import start_sim_server


@pytest.fixture
async def urls() -> AsyncIterator[Sequence[str]]:
    """The servers of the pool, a hundred times faster than an H100."""
    servers = [await start_sim_server(SimServerOptions(port=0, time_scale=0.01)) for _ in POOL]
    yield [server.url for server in servers]
    for server in servers:
        await server.close()


async def complete(client: aiohttp.ClientSession, url: str, prefiller: str) -> None:
    headers = {"x-prefiller-host-port": prefiller}
    body = {"prompt": "word" * 160, "max_tokens": 1}
    async with client.post(f"{url}/v1/completions", json=body, headers=headers) as response:
        assert response.status == 200


async def test_transfers_are_read_from_the_engines_and_told_apart_by_their_ways(urls: Sequence[str]) -> None:
    await tell_links(urls)
    names = list(seats(urls))
    async with aiohttp.ClientSession() as client:
        for decoding, prefilling in ((1, 0), (3, 0), (5, 0), (5, 2)):
            await complete(client, urls[decoding], names[prefilling])
        await complete(client, urls[7], "127.0.0.1:1")
    found = await read_transfers(urls)
    assert found.by_way == {"NVLink": 1, "same node": 1, "network": 2}
    assert (found.count, found.failed) == (4, 1)
    size = 160 * 131_072
    taken = size / 300e9 + 5e-6 + size / 63e9 + 20e-6 + size / 12.5e9 + 200e-6
    # What the fifth server holds already is not sent to it again: the last block only.
    taken += 16 * 131_072 / 12.5e9 + 200e-6
    assert found.seconds == pytest.approx(taken * 0.01)
    assert 0.0 < found.p90_seconds <= 0.005


async def test_without_transfers_there_is_nothing_to_tell(urls: Sequence[str]) -> None:
    await tell_links(urls)
    found = await read_transfers(urls)
    assert (found.by_way, found.seconds, found.failed) == ({}, 0.0, 0)
    assert math.isnan(found.p90_seconds)


def buckets(**counts: int) -> list[Sample]:
    return [
        Sample({"le": bound.removeprefix("le").replace("_", ".")}, float(count), None)
        for bound, count in counts.items()
    ]


@pytest.mark.parametrize(
    ("share", "value"),
    [
        pytest.param(0.5, 1.0, id="on a bound"),
        pytest.param(0.75, 1.5, id="in the middle of a bucket"),
        pytest.param(0.9, 1.8, id="further on"),
    ],
)
def test_a_quantile_is_linear_within_a_bucket_of_all_histograms_together(share: float, value: float) -> None:
    one, other = buckets(le1=3, le2=10, leInf=10), buckets(le1=7, le2=10, leInf=10)
    assert quantile([*one, *other], share) == pytest.approx(value)


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile(buckets(le1=1, le2_5=1, leInf=10), 0.9) == 2.5
