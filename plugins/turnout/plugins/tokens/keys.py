"""What producers of token ids publish about a request."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "token-producer"
BYTES_PER_ID = 4


@dataclass(frozen=True, slots=True)
class MultimodalContent:
    """An image, video or sound in a prompt: ``content_hash`` names its content, as the engine does.

    It takes the place of ``length`` tokens from ``offset`` on.
    """

    content_hash: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """The prompt as the engine will see it.

    ``token_ids`` holds each id as 4 bytes, little-endian. It is empty when the ids are not known, for the reason
    in ``problem``; estimates are never put here.
    """

    token_ids: bytes = b""
    multimodal: Sequence[MultimodalContent] = ()
    problem: str = ""

    def __len__(self) -> int:
        return len(self.token_ids) // BYTES_PER_ID


TOKENIZED_PROMPT: KeyFamily[TokenizedPrompt] = KeyFamily("tokenized-prompt", DEFAULT_PRODUCER)
