"""A model server that answers at once, run as a script: `upstream.py ADDRESSES`.

It listens on one port at so many addresses from 127.0.1.1 on, and announces the port as a line of JSON. `/metrics`
is a page as long as a real vLLM's. A request with `x-hang` is never answered; `/hanging` counts those.
"""

import asyncio
import json
import socket
import sys

import uvloop
from aiohttp import web

from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.metrics_page import MetricsPage

# vLLM 0.32 after one request; most of it is buckets of families that no router reads.
PAGE_BYTES = 52_000
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 512, "completion_tokens": 2, "total_tokens": 514},
    }
).encode()


class Upstream:
    """What every address answers."""

    def __init__(self) -> None:
        self._page = metrics_page()
        self._hanging = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/metrics":
            return web.Response(body=self._page, content_type="text/plain")
        if request.path == "/hanging":
            return web.json_response({"hanging": self._hanging})
        async for _ in request.content.iter_any():
            pass
        if "x-hang" in request.headers:
            await self._hang()
        return web.Response(body=COMPLETION, content_type="application/json")

    async def _hang(self) -> None:
        self._hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self._hanging -= 1


def metrics_page() -> bytes:
    """The simulator's page, filled up with histograms to the length of a real one."""
    engine = Engine(EngineConfig(model="m"))
    page = MetricsPage(EngineConfig(model="m"), engine.snapshot, None, 0.0).render()
    number = 0
    while len(page) < PAGE_BYTES:
        page += _histogram(f"vllm:request_other_{number}_seconds")
        number += 1
    return page


def _histogram(name: str) -> bytes:
    labels = 'engine="0",model_name="m"'
    buckets = "".join(f'{name}_bucket{{{labels},le="{bound / 10}"}} 1.0\n' for bound in range(20))
    text = f"# HELP {name} Histogram of something.\n# TYPE {name} histogram\n{buckets}"
    return f"{text}{name}_count{{{labels}}} 1.0\n{name}_sum{{{labels}}} 0.5\n".encode()


async def serve(addresses: int) -> None:
    """Serves until it is terminated."""
    server = web.Server(Upstream().answer, handler_cancellation=True)
    port = _free_port()
    hosts = [f"127.0.1.{number}" for number in range(1, addresses + 1)]
    listening = await asyncio.get_running_loop().create_server(server, hosts, port, backlog=1024)
    print(json.dumps({"port": port}), flush=True)  # noqa: T201 - how a child tells where it is
    await listening.serve_forever()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.1.1", 0))
        return int(bound.getsockname()[1])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
