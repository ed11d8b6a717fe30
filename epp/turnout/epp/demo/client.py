"""Drives a workload through a gateway with the official OpenAI client and measures what a user would see."""

import asyncio
import time
from collections.abc import Callable, Sequence

import openai
from openai.types.chat import ChatCompletionMessageParam

from turnout.epp.demo.measurements import Measurements
from turnout.epp.demo.workload import Conversation, Turn


async def drive(
    base_url: str, model: str, conversations: Sequence[Conversation], on_answer: Callable[[], None]
) -> Measurements:
    """Runs all conversations and returns when the last answer is complete; ``on_answer`` hears of each."""
    seen = Measurements(started=time.monotonic())
    # Retries would hide errors, and hidden errors would make a gateway look better than it is.
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60.0) as client:
        chats = (_converse(client, model, chat, seen, on_answer) for chat in conversations)
        await asyncio.gather(*chats)
    seen.ended = time.monotonic()
    return seen


async def _converse(
    client: openai.AsyncOpenAI,
    model: str,
    conversation: Conversation,
    seen: Measurements,
    on_answer: Callable[[], None],
) -> None:
    await asyncio.sleep(conversation.start)
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": conversation.system_prompt}]
    for turn in conversation.turns:
        await asyncio.sleep(turn.pause)
        messages.append({"role": "user", "content": turn.question})
        seen.requests += 1
        try:
            answer = await _ask(client, model, messages, turn, seen)
        except openai.OpenAIError as error:
            seen.errors[_name(error)] += 1
            return
        finally:
            on_answer()
        messages.append({"role": "assistant", "content": answer})


async def _ask(
    client: openai.AsyncOpenAI,
    model: str,
    messages: Sequence[ChatCompletionMessageParam],
    turn: Turn,
    seen: Measurements,
) -> str:
    asked = time.monotonic()
    parts: list[str] = []
    async with await client.chat.completions.create(
        model=model,
        messages=messages,
        max_completion_tokens=turn.answer_tokens,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        async for chunk in stream:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                if not parts:
                    seen.ttfts.append(time.monotonic() - asked)
                parts.append(text)
            if chunk.usage:
                seen.output_tokens += chunk.usage.completion_tokens
    return "".join(parts)


def _name(error: openai.OpenAIError) -> str:
    if isinstance(error, openai.APIStatusError):
        return f"HTTP {error.status_code}"
    return type(error).__name__
