"""Tokenizes a text in parts that are remembered, where that gives the same ids as the whole."""

import asyncio
import re
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor

import xxhash
from tokenizers import AddedToken, Tokenizer

from turnout.plugins.tokens.body import packed
from turnout.plugins.tokens.cache import BytesLRU

INLINE_CHARACTERS = 2048
"""Texts up to this length are tokenized on the event loop, in about 0.7 ms; others cost a change to a thread."""

MAX_SPLITTERS = 32

_PROBES = ("Hello world", " a", "\n\nuser\n", "é\u0301 漢字", "1234 x", "\t", "don't", "")


class SegmentTokenizer:
    """Splits texts at special tokens of the tokenizer and remembers the ids of what lies between.

    ``wanted`` are the special tokens to split at, those that prompts are made of; ``cache_bytes`` bounds the memory.
    Long texts are tokenized by the executor.

    ``is_split`` tells whether texts are split at all: not when there is nothing to split at, or when the parts of a
    probe get other ids than the whole.
    """

    def __init__(self, tokenizer: Tokenizer, wanted: Collection[str], cache_bytes: int, executor: Executor) -> None:
        self._tokenizer = tokenizer
        self._executor = executor
        self._ids = {text: packed([number]) for number, text in _splitters(tokenizer, wanted)}
        self._pattern = _pattern(self._ids)
        self._cache = BytesLRU[bytes](cache_bytes)
        self.is_split = bool(self._ids) and all(
            self._whole(text) == b"".join(map(self._part, self._pattern.split(text)))
            for text in _probes(list(self._ids))
        )
        self.found_bytes = 0
        self.tokenized_bytes = 0

    @property
    def used_bytes(self) -> int:
        """Bytes of remembered parts."""
        return self._cache.used_bytes

    async def encode(self, text: str) -> bytes:
        """The packed ids of the text, without any that the tokenizer would add around it."""
        if not self.is_split:
            (ids,) = await self._encode([text])
            return ids
        parts = [part for part in self._pattern.split(text) if part]
        found = [self._ids.get(part) or self._cache.get(_key(part)) for part in parts]
        missing = list(dict.fromkeys(part for part, ids in zip(parts, found, strict=True) if ids is None))
        made = dict(zip(missing, await self._encode(missing), strict=True)) if missing else {}
        for part, ids in made.items():
            self._cache.put(_key(part), ids, len(ids))
        self.found_bytes += sum(len(ids) for ids in found if ids is not None)
        return b"".join(made[part] if ids is None else ids for part, ids in zip(parts, found, strict=True))

    async def _encode(self, texts: list[str]) -> list[bytes]:
        if sum(map(len, texts)) <= INLINE_CHARACTERS:
            encoded = self._encode_all(texts)
        else:
            encoded = await asyncio.get_running_loop().run_in_executor(self._executor, self._encode_all, texts)
        self.tokenized_bytes += sum(map(len, encoded))
        return encoded

    def _encode_all(self, texts: list[str]) -> list[bytes]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [packed(encoding.ids) for encoding in encodings]

    def _whole(self, text: str) -> bytes:
        return packed(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _part(self, part: str) -> bytes:
        return self._ids[part] if part in self._ids else self._whole(part)


def _splitters(tokenizer: Tokenizer, wanted: Collection[str]) -> list[tuple[int, str]]:
    """The tokens to split at: taken out of a text before all else, and never a part of another added token."""
    added: dict[int, AddedToken] = tokenizer.get_added_tokens_decoder()
    plain = [(number, token.content) for number, token in added.items() if token.content in wanted and _is_plain(token)]
    chosen = plain[:MAX_SPLITTERS]
    texts = {text for _, text in chosen}
    others = [token.content for token in added.values() if token.content not in texts]
    # Overlapping ones among themselves are no problem: the first and then the longest is taken, here and there.
    return [] if any(_touch(text, other) for text in texts for other in others) else chosen


def _is_plain(token: AddedToken) -> bool:
    return (
        bool(token.content)
        and token.special
        and not (token.normalized or token.lstrip or token.rstrip or token.single_word)
    )


def _touch(one: str, other: str) -> bool:
    """Whether the two can share characters in a text."""
    if one in other or other in one:
        return True
    lengths = range(1, min(len(one), len(other)))
    return any(one[-n:] == other[:n] or other[-n:] == one[:n] for n in lengths)


def _pattern(texts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")


def _probes(splitters: Sequence[str]) -> Iterable[str]:
    for text in splitters:
        for probe in _PROBES:
            yield f"{probe}{text}{probe}"
            yield f"{text}{text}{probe}{text}"
    yield "".join(f"{text}{probe}" for text in splitters for probe in _PROBES)


def _key(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
