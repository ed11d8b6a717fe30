import json
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import zmq
import zmq.asyncio

from turnout.epp.simulator.blocks import AllBlocksCleared, BlockRemoved, BlockStored
from turnout.epp.simulator.kv_events import EventEncoder
from turnout.epp.simulator.server import RunningSimServer

Start = Callable[..., Awaitable[RunningSimServer]]

SAMPLE = [
    json.loads(line)
    for line in (Path(__file__).parent / "samples" / "vllm-0.32.0-kv-events.jsonl").read_text().splitlines()
]


def sample_event(kind: str) -> dict[str, Any]:
    for batch in SAMPLE:
        for event in batch["payload"][1]:
            if event["type"] == kind:
                return dict(event)
    raise LookupError(kind)


def decoded(payload: bytes) -> Any:
    return msgspec.msgpack.decode(payload)


def test_events_have_the_fields_of_a_real_vllm_in_their_order() -> None:
    stored = BlockStored((1,), None, array("I", [5, 6]), None, None)
    payload = EventEncoder(2, ()).encode([AllBlocksCleared(), stored, BlockRemoved(1)], 12.5)
    timestamp, events, rank = decoded(payload)
    assert (timestamp, rank) == (12.5, 0)
    kinds = ["AllBlocksCleared", "BlockStored", "BlockRemoved"]
    assert [list(event) for event in events] == [list(sample_event(kind)) for kind in kinds]
    assert events[1]["token_ids"] == [5, 6]
    assert events[1]["extra_keys"] == [None]


def test_adapter_and_salt_are_extra_keys_as_in_a_real_vllm() -> None:
    encoder = EventEncoder(1, ("a", "b"))
    first = BlockStored((1, 2), None, array("I", [5, 6]), "b", "salt")
    later = BlockStored((3,), 2, array("I", [7]), "b", "salt")
    events = decoded(encoder.encode([first, later], 0.0))[1]
    assert (events[0]["lora_id"], events[0]["lora_name"]) == (2, "b")
    assert events[0]["extra_keys"] == [["b", "salt"], ["b"]]
    assert events[1]["extra_keys"] == [["b"]]


async def test_published_batches_are_numbered_and_can_be_replayed(start: Start, client: aiohttp.ClientSession) -> None:
    server = await start(events=True)
    context = zmq.asyncio.Context()
    subscriber, dealer = context.socket(zmq.SUB), context.socket(zmq.DEALER)
    try:
        subscriber.subscribe(b"")
        subscriber.connect(f"tcp://127.0.0.1:{server.kv_events_port}")
        dealer.connect(f"tcp://127.0.0.1:{server.kv_replay_port}")
        live = await first_message(client, server, subscriber)
        await dealer.send_multipart([b"", bytes(8)])
        replayed = [await dealer.recv_multipart()]
        while replayed[-1][2] != b"\xff" * 8:
            replayed.append(await dealer.recv_multipart())
    finally:
        context.destroy(linger=0)
    assert live[0] == f"kv@127.0.0.1:{server.port}@tiny".encode()
    assert decoded(live[2])[1][0]["type"] == "BlockStored"
    assert [int.from_bytes(frames[2], "big") for frames in replayed[:-1]] == list(range(len(replayed) - 1))
    assert [b"", *live] in replayed
    assert replayed[-1] == [b"", b"", b"\xff" * 8, b""]


async def first_message(
    client: aiohttp.ClientSession, server: RunningSimServer, subscriber: zmq.asyncio.Socket
) -> list[bytes]:
    """Send prompts until the subscription, which ZMQ sets up in the background, delivers a message."""
    for number in range(1_000):
        body = {"prompt": f"{number:04}" * 20, "max_tokens": 1}
        async with client.post(f"{server.url}/v1/completions", json=body) as response:
            await response.read()
        if await subscriber.poll(10):
            return list(await subscriber.recv_multipart())
    raise TimeoutError("no KV event arrived")
