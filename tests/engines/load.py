"""Keeps a server busy with streams of the `openai` client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import openai

from engines.vllm_server import ADAPTERS, MODEL

# Eight of these at a time fill most of the cache's 8,192 tokens and never more, so that nothing is preempted.
_TOKENS = 900

MODELS = (MODEL, *ADAPTERS)


def openai_client(url: str) -> openai.AsyncOpenAI:
    """Without retries, which would hide errors."""
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120.0)


@contextlib.asynccontextmanager
async def endless_streams(url: str, models: Sequence[str]) -> AsyncIterator[None]:
    """One stream for each entry of `models`, begun again when it ends; aborted at the end.

    Raises:
        ExceptionGroup: a stream failed.
    """
    async with openai_client(url) as client, asyncio.TaskGroup() as streams:
        tasks = [streams.create_task(_stream_forever(client, model)) for model in models]
        yield
        for task in tasks:
            task.cancel()


async def _stream_forever(client: openai.AsyncOpenAI, model: str) -> None:
    while True:
        async with await client.completions.create(
            model=model, prompt="Once upon a time", max_tokens=_TOKENS, stream=True, extra_body={"ignore_eos": True}
        ) as stream:
            async for _ in stream:
                pass
