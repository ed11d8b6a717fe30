"""Text to tokens and back, at the price of a memory copy.

A token is four bytes of UTF-8, read as a little-endian number. The last token of a text that is not a
multiple of four bytes is filled up with 0xff, which UTF-8 never contains; markers of the chat template end in
0xfe, which it does not contain either. So a common prefix of two texts gives a common prefix of their tokens.

Generated tokens are words of four ASCII characters. An answer sent back as a message therefore has exactly
the tokens that were generated, and a chat's next prompt extends the last prompt and its answer.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from itertools import product
from random import Random

BYTES_PER_TOKEN = 4
MAX_TOKEN_ID = 2**32 - 1

_FILL = b"\xff"
_TURN_START = 0xFE000000
_ROLE_END = 0xFE000001
_TURN_END = 0xFE000002

_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_VOWELS = "aeiou"


def tokenize(text: str) -> array[int]:
    """Return the tokens of a text; a lone surrogate counts as a question mark."""
    data = text.encode("utf-8", "replace")
    tokens = array("I", data + _FILL * (-len(data) % BYTES_PER_TOKEN))
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens


def detokenize(tokens: array[int]) -> str:
    """Return the text of generated tokens, four characters each."""
    return b"".join(token.to_bytes(BYTES_PER_TOKEN, "little") for token in tokens).decode("ascii")


def chat_tokens(messages: Iterable[tuple[str, str]]) -> array[int]:
    """Return the prompt of a chat given as (role, text), ending where the assistant's answer begins."""
    prompt = array("I")
    for role, text in messages:
        prompt += _turn_head(role)
        prompt += tokenize(text)
        prompt.append(_TURN_END)
    return prompt + _turn_head("assistant")


def generate_words(seed: int, count: int) -> array[int]:
    """Return `count` generated tokens, the same ones for the same seed."""
    return array("I", Random(seed).choices(_WORDS, k=count))


def _turn_head(role: str) -> array[int]:
    return array("I", [_TURN_START, *tokenize(role), _ROLE_END])


_WORDS = tokenize("".join(f" {a}{b}{c}" for a, b, c in product(_CONSONANTS, _VOWELS, _CONSONANTS)))
