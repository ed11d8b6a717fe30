"""What vLLM's endpoints that show token ids answer."""

from collections.abc import Iterator, Sequence

import msgspec

from turnout.plugins.tokens.body import Kind, pack
from turnout.plugins.tokens.keys import BYTES_PER_ID, MultimodalContent, TokenizedPrompt
from turnout.plugins.tokens.problems import NoTokenIdsError


class _Range(msgspec.Struct):
    offset: int
    length: int


class _Features(msgspec.Struct):
    mm_hashes: dict[str, list[str]]
    mm_placeholders: dict[str, list[_Range]]


class _Rendered(msgspec.Struct):
    token_ids: list[int]
    features: _Features | None = None


class _Tokenized(msgspec.Struct):
    tokens: list[int]


_decode_chat = msgspec.json.Decoder(_Rendered).decode
_decode_completions = msgspec.json.Decoder(list[_Rendered]).decode
_decode_tokenized = msgspec.json.Decoder(_Tokenized).decode


def rendered(kind: Kind, answer: bytes) -> TokenizedPrompt:
    """The prompt in an answer of ``/v1/completions/render`` or ``/v1/chat/completions/render``.

    Raises:
        NoTokenIdsError: it is not in the format, or holds several prompts.
    """
    try:
        prompts = [_decode_chat(answer)] if kind == "chat" else _decode_completions(answer)
        if len(prompts) != 1:
            raise NoTokenIdsError("unsupported", f"the request holds {len(prompts)} prompts")
        return _tokenized_prompt(prompts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _malformed(error) from None


def tokenized(answer: bytes) -> TokenizedPrompt:
    """The prompt in an answer of ``/tokenize``.

    Raises:
        NoTokenIdsError: it is not in the format.
    """
    try:
        return TokenizedPrompt(pack(_decode_tokenized(answer).tokens))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _malformed(error) from None


def _tokenized_prompt(prompt: _Rendered) -> TokenizedPrompt:
    packed = pack(prompt.token_ids)
    if prompt.features is None:
        return TokenizedPrompt(packed)
    contents = sorted(_contents(prompt.features), key=lambda content: content.offset)
    _check_ranges(contents, len(packed) // BYTES_PER_ID)
    return TokenizedPrompt(packed, tuple(contents))


def _contents(features: _Features) -> Iterator[MultimodalContent]:
    if features.mm_hashes.keys() != features.mm_placeholders.keys():
        raise ValueError("hashes and placeholders are of different kinds of content")
    for modality, hashes in features.mm_hashes.items():
        for content_hash, place in zip(hashes, features.mm_placeholders[modality], strict=True):
            yield MultimodalContent(content_hash, place.offset, place.length)


def _check_ranges(contents: Sequence[MultimodalContent], tokens: int) -> None:
    end = 0
    for content in contents:
        if content.offset < end or content.length < 1:
            raise ValueError("the places of contents overlap")
        end = content.offset + content.length
    if end > tokens:
        raise ValueError("the place of a content is behind the end of the prompt")


def _malformed(error: Exception) -> NoTokenIdsError:
    return NoTokenIdsError("failed", f"its answer is not in the format: {error}")
