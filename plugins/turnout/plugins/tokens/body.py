"""The parts of a request's body that decide what its tokens are."""

import re
import sys
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import xxhash

from turnout.plugins.tokens.problems import NoTokenIdsError

Kind = Literal["completions", "chat"]

# Sampling, streaming and bookkeeping: they change what follows the prompt, or who may share its cache, not its tokens.
WITHOUT_EFFECT = frozenset(
    (
        "best_of",
        "cache_salt",
        "echo",
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "min_p",
        "min_tokens",
        "model",
        "n",
        "presence_penalty",
        "priority",
        "repetition_penalty",
        "request_id",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
    )
)

# Quotes within a text are escaped, so this is a whole name or value.
_MEDIA = re.compile(rb'"(?:input_)?(?:image|video|audio)(?:_[a-z]+)?"')
_ENDINGS: Mapping[str, Kind] = {"chat/completions": "chat", "completions": "completions"}

# The engine leaves out tokens of what it was sent.
_CUTS = ("truncate_prompt_tokens",)
_STARTS_OF_IDS = (b"[[", *(b"[%d" % digit for digit in range(10)))
_MAX_PROBLEM_CHARACTERS = 200

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_ids = msgspec.json.Decoder(list[int]).decode
_decode_text = msgspec.json.Decoder(str | list[str]).decode
_decode_lists = msgspec.json.Decoder(list[list[int]]).decode


@dataclass(frozen=True, slots=True)
class PromptBody:
    """The fields of a body, each as raw JSON; ``prompt`` is that of the prompt or the messages."""

    kind: Kind
    fields: Mapping[str, msgspec.Raw]
    prompt: bytes

    @property
    def has_media(self) -> bool:
        """Whether there may be images, videos or sound in the messages."""
        return self.kind == "chat" and _MEDIA.search(self.prompt) is not None

    @property
    def is_lasting(self) -> bool:
        """Whether the same body always means the same prompt; what an address on the web holds may change."""
        return not (self.has_media and b"http" in self.prompt)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return bytes(self.fields.get(name, b"null")) != b"null"

    def is_false(self, name: str) -> bool:
        """Whether the field is there and false."""
        return bytes(self.fields.get(name, b"")) == b"false"

    def having(self, names: Collection[str]) -> list[str]:
        """Those of the names that the body has, and not as null, in the body's order."""
        return [name for name in self.fields if name in names and self.has(name)]

    def given_ids(self) -> bytes | None:
        """The token ids that the client sent in place of a text, packed; None when it sent something else.

        Raises:
            NoTokenIdsError: the ids are none that an engine can have, or of several prompts.
        """
        start = self.prompt[:64].translate(None, b" \t\r\n")
        if self.kind == "chat" or self.having(_CUTS) or not start.startswith(_STARTS_OF_IDS):
            return None
        try:
            if start.startswith(b"[["):
                return pack(_only(_decode_lists(self.prompt)))
            return pack(_decode_ids(self.prompt))
        except (msgspec.MsgspecError, ValueError) as error:
            raise NoTokenIdsError("unsupported", f"the prompt holds no token ids of one prompt: {error}") from None

    def text(self) -> str:
        """The prompt of a completion as text.

        Raises:
            NoTokenIdsError: it is none, or several.
        """
        try:
            prompt: str | list[str] = _decode_text(self.prompt)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NoTokenIdsError("unsupported", f"the prompt is no text: {error}") from None
        if isinstance(prompt, str):
            return prompt
        if len(prompt) != 1:
            raise NoTokenIdsError("unsupported", f"the request holds {len(prompt)} prompts")
        return prompt[0]

    def key(self, model: str) -> bytes:
        """16 bytes that name the model and everything in the body that its prompt tokens depend on."""
        digest = xxhash.xxh3_128(f"{self.kind}\0{model}".encode("utf-8", "surrogatepass"))
        for name, value in self.fields.items():
            if name not in WITHOUT_EFFECT:
                digest.update(f"\0{name}\0{len(bytes(value))}\0".encode("utf-8", "surrogatepass"))
                digest.update(value)
        return digest.digest()


def read_body(path: str, body: bytes) -> PromptBody:
    """The body of a request to a path.

    Raises:
        NoTokenIdsError: a path of another API, or a body without a prompt.
    """
    kind = _kind(path)
    try:
        fields = _decode_fields(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoTokenIdsError("refused", f"the body cannot be read: {shortened(str(error))}") from None
    prompt = bytes(fields.get("messages" if kind == "chat" else "prompt", b"null"))
    if prompt == b"null":
        raise NoTokenIdsError("unsupported", "the request has no prompt in text or token ids")
    return PromptBody(kind, fields, prompt)


def pack(token_ids: Sequence[int]) -> bytes:
    """Each id as 4 bytes, little-endian.

    Raises:
        ValueError: there are none, or one is not within 0 and 2^32 - 1.
    """
    if not token_ids:
        raise ValueError("there are no token ids")
    try:
        return packed(token_ids)
    except OverflowError:
        raise ValueError("a token id is not within 0 and 2^32 - 1") from None


def packed(token_ids: Sequence[int]) -> bytes:
    """Each id as 4 bytes, little-endian; for ids that a tokenizer made."""
    numbers = array("I", token_ids)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def shortened(text: str) -> str:
    """The text on one line, cut to a length that fits a page or a log."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_PROBLEM_CHARACTERS else f"{line[:_MAX_PROBLEM_CHARACTERS]}..."


def _kind(path: str) -> Kind:
    path = path.partition("?")[0].rstrip("/").removesuffix("/render")
    for ending, kind in _ENDINGS.items():
        if path.endswith("/" + ending):
            return kind
    raise NoTokenIdsError("unsupported", "only completions and chat completions have token ids")


def _only(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    if len(prompts) != 1:
        raise ValueError(f"there are {len(prompts)} prompts")
    return prompts[0]
