"""A prompt that another engine computes, and the way of its KV-cache blocks to this one.

What llm-d's routing sidecar and vLLM's NIXL connector do between them. The sidecar beside the engine that decodes sends
the request to the engine that prefills, for one token; then the engine that decodes reads the blocks it does not hold
and computes the last token of the prompt. Here the blocks take the time of the link, whatever else is on its way over
it. They are looked up when the transfer begins, and take room in the cache only when the request is admitted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from turnout.epp.simulator.engine import Engine
from turnout.epp.simulator.kv_links import MAX_PEERS, KvLinks, is_host_port
from turnout.epp.simulator.measurements import TransferCounters, TransferSnapshot
from turnout.epp.simulator.sequence import GenerationRequest

CONNECT_SECONDS = 5.0
PREFILL_SECONDS = 300.0
"""A prefill that takes longer has failed."""
MAX_ANSWER_BYTES = 2**20
"""An answer of one token is a few hundred bytes."""
OTHERS = "others"
"""Who stands for all peers beyond the first 10,000."""

_REMOTE_DECODE = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PeerTransfers:
    """What came from one peer; `seconds` is the time of all transfers together."""

    transfers: int = 0
    bytes: int = 0
    seconds: float = 0.0


class RemotePrefill:
    """Has prompts computed by other servers; owns the connections to them until `close`.

    Does nothing while `links` is None, as an engine without a KV connector. A block is `bytes_per_block`; `time_scale`
    is in wall-clock seconds per simulated second, and so transfers are reported in wall-clock seconds like all times.
    """

    def __init__(self, engine: Engine, links: KvLinks | None, bytes_per_block: int, time_scale: float) -> None:
        self.links = links
        self._engine = engine
        self._bytes_per_block = bytes_per_block
        self._time_scale = time_scale
        self._counters = TransferCounters()
        self._by_peer: dict[str, PeerTransfers] = {}
        self._session: aiohttp.ClientSession | None = None

    def snapshot(self) -> TransferSnapshot | None:
        """Return the transfers so far; None without links."""
        return None if self.links is None else self._counters.snapshot()

    def by_peer(self) -> Mapping[str, PeerTransfers]:
        """Return the transfers so far by the peer that they came from."""
        return self._by_peer

    async def fetch(self, request: GenerationRequest, prefiller: str, path: str, body: bytes) -> bool:
        """Have `prefiller` compute the prompt of a request that came with this path and body, and wait for its blocks.

        Returns False, after counting it, where the prefiller cannot be reached or does not answer with status 200.
        """
        if self.links is None or not await self._prefilled(prefiller, path, body):
            self._counters.failed()
            return False
        size = self._engine.missing_blocks(request) * self._bytes_per_block
        seconds = self.links.link_from(prefiller).seconds(size) * self._time_scale
        await asyncio.sleep(seconds)
        self._count(prefiller, size, seconds)
        return True

    def _count(self, prefiller: str, size: int, seconds: float) -> None:
        self._counters.transferred(size, seconds)
        peer = prefiller if prefiller in self._by_peer or len(self._by_peer) < MAX_PEERS else OTHERS
        counted = self._by_peer.setdefault(peer, PeerTransfers())
        counted.transfers += 1
        counted.bytes += size
        counted.seconds += seconds

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _prefilled(self, prefiller: str, path: str, body: bytes) -> bool:
        if not is_host_port(prefiller):
            return False
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=PREFILL_SECONDS, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        try:
            async with self._session.post(
                f"http://{prefiller}{path}",
                data=prefill_body(body),
                headers={"content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                return response.status == 200 and await _ends(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.info("no prefill by %s: %s", prefiller, type(error).__name__)
            return False


def prefill_body(body: bytes) -> bytes:
    """Return the body for the engine that prefills: the same prompt, for one token, of which the blocks are kept."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    for name in ("stream_options", "max_completion_tokens"):
        fields.pop(name, None)
    return msgspec.json.encode(fields | {"stream": False, "max_tokens": 1, "kv_transfer_params": _REMOTE_DECODE})


async def _ends(content: aiohttp.StreamReader) -> bool:
    """Whether an answer ends within the bound; what it says is of no use."""
    size = 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return False
    return True
