"""Sends requests at their times, whatever became of those before, and measures what their clients see.

A lean client and not the official one, which spends about a fifth of a millisecond on each token: with the thousands
of tokens per second of this scenario it would be the busiest process, and its delays would count as the gateway's.
"""

import asyncio
import json
from collections.abc import Callable, Sequence

import aiohttp

from turnout.epp.demo.gateways import MODEL
from turnout.epp.demo.timed.answers import Answer, Answers, Outcome, R
from turnout.epp.wire_names import DROPPED_REASON

# Longer than any wait in the scenario: a request that takes as long has failed.
TIMEOUT_SECONDS = 120.0

_DATA = b"data: "
_DONE = b"data: [DONE]"


async def send_all(base_url: str, requests: Sequence[R], seed: int, on_answer: Callable[[], None]) -> Answers[R]:
    """Returns when the last request has ended; ``on_answer`` hears of each end."""
    clock = asyncio.get_running_loop().time
    seen: Answers[R] = Answers()
    bodies = [_body(request, seed) for request in requests]
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(base_url, connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        started = clock()
        async with asyncio.TaskGroup() as sending:
            for request, body in zip(requests, bodies, strict=True):
                await asyncio.sleep(started + request.at - clock())
                seen.late.append(clock() - started - request.at)
                sending.create_task(_send(session, request, body, started + request.at, seen, on_answer))
        seen.seconds = clock() - started
    return seen


def _body(request: R, seed: int) -> bytes:
    messages = [{"role": "user", "content": request.prompt(seed)}]
    body = {"model": MODEL, "messages": messages, "max_tokens": request.answer_tokens, "stream": True}
    return json.dumps(body).encode()


async def _send(
    session: aiohttp.ClientSession,
    request: R,
    body: bytes,
    due: float,
    seen: Answers[R],
    on_answer: Callable[[], None],
) -> None:
    clock = asyncio.get_running_loop().time
    headers = {"content-type": "application/json", **request.headers}
    try:
        async with session.post("/v1/chat/completions", data=body, headers=headers) as response:
            if response.status == 200:
                first, whole = await _read(response.content, clock)
                outcome: Outcome = "served" if whole else "failed"
                reason = "" if whole else "incomplete answer"
            else:
                await response.read()
                first = clock()
                outcome, reason = _refusal(response)
    except (aiohttp.ClientError, TimeoutError) as error:
        first, outcome, reason = clock(), "failed", type(error).__name__
    seen.answers.append(Answer(request, outcome, first - due, clock() - due, reason))
    on_answer()


async def _read(content: aiohttp.StreamReader, clock: Callable[[], float]) -> tuple[float, bool]:
    """When the first token came, and whether the answer was complete."""
    first = 0.0
    last = b""
    async for line in content:
        if not line.startswith(_DATA):
            continue
        if not first and _has_text(line):
            first = clock()
        last = line
    return first or clock(), bool(first) and last.startswith(_DONE)


def _has_text(line: bytes) -> bool:
    if line.startswith(_DONE):
        return False
    return any(choice["delta"].get("content") for choice in json.loads(line.removeprefix(_DATA))["choices"])


def _refusal(response: aiohttp.ClientResponse) -> tuple[Outcome, str]:
    """A refusal names its reason; any other status is a failure."""
    reason = response.headers.get(DROPPED_REASON)
    return ("failed", f"HTTP {response.status}") if reason is None else ("refused", reason)
