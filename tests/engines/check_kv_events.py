"""The KV events of a real vLLM, and those that the simulator publishes for the same requests."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest
import zmq
import zmq.asyncio

from engines.tiny_model import token_ids
from engines.vllm_server import ADAPTERS, BLOCK_SIZE, MODEL, VllmServer
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

END_OF_REPLAY = b"\xff" * 8
KINDS = {"BlockStored", "BlockRemoved", "AllBlocksCleared"}
# 95 characters: with the token that begins it, three blocks of 32 tokens.
PROMPT = ("The quick brown fox jumps over the lazy dog. " * 3)[:95]
SECONDS = 60


@dataclass(frozen=True)
class Batch:
    topic: bytes
    sequence: int
    payload: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        _, events, _ = msgspec.msgpack.decode(self.payload)
        return [dict(event) for event in events]


@dataclass(frozen=True)
class Publisher:
    """A server that publishes its events; its cache holds the tokens of that many characters."""

    url: str
    events: str
    replay: str
    cache_characters: int


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimServer]:
    options = SimServerOptions(
        model=MODEL,
        port=0,
        block_size=BLOCK_SIZE,
        num_blocks=64,
        max_model_len=64 * BLOCK_SIZE,
        lora_names=ADAPTERS,
        time_scale=0.1,
        kv_events_port=0,
        kv_replay_port=0,
    )
    server = await start_sim_server(options)
    yield server
    await server.close()


def of_vllm(server: VllmServer) -> Publisher:
    return Publisher(server.url, server.kv_events, server.kv_replay, 256 * BLOCK_SIZE)


def of_simulator(server: RunningSimServer) -> Publisher:
    events, replay = (f"tcp://127.0.0.1:{port}" for port in (server.kv_events_port, server.kv_replay_port))
    # The simulator counts four characters as a token.
    return Publisher(server.url, events, replay, 4 * 64 * BLOCK_SIZE)


@asynccontextmanager
async def zmq_socket(kind: int, address: str) -> AsyncIterator[zmq.asyncio.Socket]:
    context = zmq.asyncio.Context()
    opened = context.socket(kind)
    opened.connect(address)
    try:
        yield opened
    finally:
        context.destroy(linger=0)


async def complete(http: aiohttp.ClientSession, url: str, model: str, prompt: str, tokens: int) -> None:
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": True}
    async with http.post(f"{url}/v1/completions", json=body) as response:
        assert response.status == 200, await response.text()


async def every_kind_of_event(http: aiohttp.ClientSession, publisher: Publisher) -> list[Batch]:
    """What the server publishes when blocks are stored, with and without an adapter, evicted and cleared."""
    async with zmq_socket(zmq.SUB, publisher.events) as subscriber:
        subscriber.subscribe(b"")
        # What earlier tests left would be evicted too early.
        await reset_cache(http, publisher)
        batches = [await first_batch(http, publisher, subscriber)]
        await reset_cache(http, publisher)
        for model in (MODEL, ADAPTERS[0]):
            await complete(http, publisher.url, model, PROMPT, 2 * BLOCK_SIZE)
        for number in range(publisher.cache_characters // 1500 + 1):
            await complete(http, publisher.url, MODEL, f"{number:04}" * 375, 1)
        async with asyncio.timeout(SECONDS):
            while {event["type"] for batch in batches for event in batch.events} != KINDS:
                batches.append(received(await subscriber.recv_multipart()))
    return batches


async def first_batch(http: aiohttp.ClientSession, publisher: Publisher, subscriber: zmq.asyncio.Socket) -> Batch:
    """Sends prompts until the subscription, which ZMQ sets up in the background, delivers."""
    for number in range(1_000):
        await complete(http, publisher.url, MODEL, f"{number:04}" * 40, 1)
        if await subscriber.poll(50):
            return received(await subscriber.recv_multipart())
    raise TimeoutError("no KV event arrived")


async def reset_cache(http: aiohttp.ClientSession, publisher: Publisher) -> None:
    async with http.post(f"{publisher.url}/reset_prefix_cache") as response:
        assert response.status == 200


async def replayed(publisher: Publisher, first: int) -> list[Batch]:
    """Every batch from number `first` on that the server keeps."""
    async with zmq_socket(zmq.DEALER, publisher.replay) as dealer, asyncio.timeout(SECONDS):
        await dealer.send_multipart([b"", first.to_bytes(8, "big")])
        batches = []
        while (frames := await dealer.recv_multipart())[2] != END_OF_REPLAY:
            batches.append(received(frames[1:]))
        assert frames == [b"", b"", END_OF_REPLAY, b""]
    return batches


def received(frames: Sequence[bytes]) -> Batch:
    topic, sequence, payload = frames
    return Batch(topic, int.from_bytes(sequence, "big"), payload)


def fields(batches: Sequence[Batch]) -> Mapping[tuple[str, ...], Mapping[str, set[str]]]:
    """For each kind of event, with or without an adapter, its fields in their order and the types they had."""
    found: dict[tuple[str, ...], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event in (event for batch in batches for event in batch.events):
        kind = (event["type"], "with adapter") if event.get("lora_name") else (event["type"],)
        for name, value in event.items():
            found[kind][name].add(type_name(value))
    return found


def type_name(value: object) -> str:
    if isinstance(value, list):
        return f"list of {' or '.join(sorted({type_name(one) for one in value}))}"
    return type(value).__name__


async def test_the_simulators_events_have_the_fields_and_types_of_the_real_ones(
    vllm: VllmServer, simulator: RunningSimServer, http: aiohttp.ClientSession
) -> None:
    real = fields(await every_kind_of_event(http, of_vllm(vllm)))
    simulated = fields(await every_kind_of_event(http, of_simulator(simulator)))
    assert simulated == real
    assert {kind: list(names) for kind, names in simulated.items()} == {
        kind: list(names) for kind, names in real.items()
    }


async def test_batches_are_numbered_carry_the_tokens_and_can_be_replayed(
    vllm: VllmServer, http: aiohttp.ClientSession
) -> None:
    publisher = of_vllm(vllm)
    batches = await every_kind_of_event(http, publisher)
    first = batches[0].sequence
    assert {batch.topic for batch in batches} == {f"kv@{vllm.host}:{vllm.port}@tiny".encode()}
    assert [batch.sequence for batch in batches] == list(range(first, first + len(batches)))
    assert (await replayed(publisher, first))[: len(batches)] == batches
    stored = [event for batch in batches for event in batch.events if event["type"] == "BlockStored"]
    whole_prompt = [event for event in stored if event["token_ids"] == token_ids(PROMPT)]
    assert [(event["lora_name"], event["block_size"], len(event["block_hashes"])) for event in whole_prompt] == [
        (None, 32, 3),
        ("adapter-a", 32, 3),
    ]
