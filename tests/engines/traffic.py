"""Prompts that share beginnings, as agents, chats and tenants do, and what a server says of its cache for each."""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionMessageParam

from engines.vllm_server import ADAPTERS, MODEL

_CHARACTERS = string.ascii_letters + string.digits + " "

# Characters, which are tokens: shorter and longer than a block of 32, at its edges, and of many blocks.
_BEGINNINGS = (5, 20, 31, 32, 33, 64, 100, 250, 600)
_SYSTEM_PROMPTS = (15, 90, 400)
_MAX_TURNS = 5


def text(random_numbers: random.Random, length: int) -> str:
    """Printable characters, a token each."""
    return "".join(random_numbers.choices(_CHARACTERS, k=length))


@dataclass(frozen=True)
class Family:
    """Requests that share a beginning. Of a chat, that is its first message."""

    beginning: str
    model: str = MODEL
    salt: str = ""
    is_chat: bool = False


@dataclass(frozen=True)
class Ask:
    """One request: a prompt or messages."""

    model: str
    prompt: str = ""
    messages: Sequence[ChatCompletionMessageParam] = ()
    salt: str = ""
    max_tokens: int = 8

    async def send(self, client: openai.AsyncOpenAI, **fields: object) -> "Answer":
        """The answer and its usage; `fields` go into the body.

        Raises:
            openai.APIError: the server or the gateway did not answer.
        """
        extra = {"ignore_eos": True, **({"cache_salt": self.salt} if self.salt else {}), **fields}
        if self.messages:
            chat = await client.chat.completions.create(
                model=self.model, messages=self.messages, max_completion_tokens=self.max_tokens, extra_body=extra
            )
            return Answer.of(chat.choices[0].message.content or "", chat.usage)
        completion = await client.completions.create(
            model=self.model, prompt=self.prompt, max_tokens=self.max_tokens, extra_body=extra
        )
        return Answer.of(completion.choices[0].text, completion.usage)


@dataclass(frozen=True)
class Answer:
    """``cached_tokens`` is None if the server did not say."""

    text: str
    prompt_tokens: int
    cached_tokens: int | None

    @classmethod
    def of(cls, text: str, usage: CompletionUsage | None) -> "Answer":
        """From the client's types."""
        assert usage is not None
        details = usage.prompt_tokens_details
        return cls(text, usage.prompt_tokens, details.cached_tokens if details else None)


@dataclass
class Chat:
    """A conversation that grows with each answer."""

    family: Family
    messages: list[ChatCompletionMessageParam] = field(default_factory=list)


class Traffic:
    """Requests of several families, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.families = [
            *(Family(text(self._random, length)) for length in _BEGINNINGS),
            *(Family(text(self._random, 150), adapter) for adapter in ADAPTERS),
            Family(text(self._random, 200), salt="tenant-a"),
            Family(text(self._random, 200), ADAPTERS[0], salt="tenant-b"),
            *(Family(text(self._random, length), is_chat=True) for length in _SYSTEM_PROMPTS),
            Family(text(self._random, 120), ADAPTERS[1], is_chat=True),
        ]
        # The same text with and without adapter and salt: the engine must not share it, nor the picker believe so.
        shared = self.families[len(_BEGINNINGS)].beginning
        self.families += [Family(shared), Family(shared, ADAPTERS[1]), Family(shared, salt="tenant-a")]
        self._chats = {family: Chat(family) for family in self.families if family.is_chat}

    def one_of_each(self) -> Iterator[Ask]:
        """A request of every family."""
        return (self._next(family) for family in self.families)

    def ask(self) -> Ask:
        """A request of any family."""
        return self._next(self._random.choice(self.families))

    def answered(self, ask: Ask, answer: Answer) -> None:
        """The chat that asked so goes on with this answer, unless it has gone on already."""
        for chat in self._chats.values():
            if chat.messages and tuple(chat.messages) == tuple(ask.messages):
                chat.messages.append({"role": "assistant", "content": answer.text})

    def _next(self, family: Family) -> Ask:
        if family.is_chat:
            return Ask(family.model, messages=tuple(self._turn(self._chats[family])), salt=family.salt)
        tail = text(self._random, self._random.randint(0, 90))
        tokens = self._random.choice((1, 8, 40))
        return Ask(family.model, family.beginning + tail, salt=family.salt, max_tokens=tokens)

    def _turn(self, chat: Chat) -> Sequence[ChatCompletionMessageParam]:
        if len(chat.messages) >= 2 * _MAX_TURNS or (chat.messages and chat.messages[-1]["role"] != "assistant"):
            chat.messages.clear()
        if not chat.messages:
            chat.messages.append({"role": "system", "content": chat.family.beginning})
        chat.messages.append({"role": "user", "content": text(self._random, self._random.randint(1, 60))})
        return chat.messages
