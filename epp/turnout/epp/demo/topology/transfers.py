"""What the simulated servers know and tell about transfers of KV cache."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import msgspec

from turnout.epp.datalayer.exposition import Sample, read_samples
from turnout.epp.demo.topology.machines import POOL, Seat, Way, links_to
from turnout.epp.simulator.remote_prefill import PeerTransfers

_TIMES = "vllm:nixl_xfer_time_seconds_bucket"
_FAILED = "vllm:nixl_num_failed_transfers_total"


@dataclass(frozen=True, slots=True)
class Transfers:
    """All transfers of a run, as the engines that decode report them.

    ``seconds`` is their time together, ``p90_seconds`` that of nine in ten, interpolated in the engines' buckets; NaN
    without transfers. ``failed`` counts prompts that had to be computed where they are decoded.
    """

    by_way: Mapping[Way, int]
    seconds: float
    p90_seconds: float
    failed: int

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.by_way.values())


def seats(urls: Sequence[str]) -> Mapping[str, Seat]:
    """The pool by the `host:port` of its servers, whose URLs are in its order."""
    return {urlsplit(url).netloc: seat for url, seat in zip(urls, POOL, strict=True)}


async def tell_links(urls: Sequence[str]) -> None:
    """Tells every server that decodes how fast KV cache comes from the others."""
    known = seats(urls)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for url, seat in zip(urls, POOL, strict=True):
            if seat.role == "decode":
                async with session.post(f"{url}/sim/kv-links", data=msgspec.json.encode(links_to(seat, known))):
                    pass


async def read_transfers(urls: Sequence[str]) -> Transfers:
    """What came to all servers that decode."""
    known = seats(urls)
    decoding = [url for url, seat in zip(urls, POOL, strict=True) if seat.role == "decode"]
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        pages = await asyncio.gather(*(_read(session, f"{url}/metrics") for url in decoding))
        peers = await asyncio.gather(*(_read(session, f"{url}/sim/kv-transfers") for url in decoding))
    by_way, seconds = _by_way(decoding, peers, known)
    samples = [read_samples(page, (_TIMES, _FAILED)) for page in pages]
    return Transfers(
        by_way,
        seconds,
        quantile((sample for found in samples for sample in found[_TIMES]), 0.9),
        int(sum(sample.value for found in samples for sample in found[_FAILED])),
    )


async def _read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        return await response.read()


def _by_way(
    decoding: Sequence[str], told: Sequence[bytes], known: Mapping[str, Seat]
) -> tuple[Mapping[Way, int], float]:
    by_way: Counter[Way] = Counter()
    seconds = 0.0
    for url, document in zip(decoding, told, strict=True):
        receiver = known[urlsplit(url).netloc]
        for peer, transfers in msgspec.json.decode(document, type=dict[str, PeerTransfers]).items():
            by_way[receiver.way_to(known[peer])] += transfers.transfers
            seconds += transfers.seconds
    return dict(by_way), seconds


def quantile(buckets: Iterable[Sample], share: float) -> float:
    """The value below which this share lies, of histograms with the same bounds, linear within a bucket.

    NaN without values; the last bound for what is beyond it.
    """
    counts: Counter[float] = Counter()
    for sample in buckets:
        counts[float(sample.labels["le"])] += int(sample.value)
    wanted = share * counts[math.inf]
    lower, below = 0.0, 0
    for bound, count in sorted(counts.items()):
        if count >= wanted and count:
            return lower if bound == math.inf else lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return math.nan
