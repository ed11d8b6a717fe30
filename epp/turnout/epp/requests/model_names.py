"""Gives the client the model name it asked for when the engine was asked for another."""

import msgspec


class ModelNameRestorer:
    """Replaces ``"model":"<target>"`` by the client's name in a response body, across chunk borders.

    The replacement is one of bytes, since most of a body is somebody's text: it needs no parsing and leaves
    everything else as it is. At most the length of the pattern is held back between two pieces.
    """

    def __init__(self, target: str, original: str) -> None:
        name, shown = msgspec.json.encode(target), msgspec.json.encode(original)
        self._patterns = [(b'"model":' + gap + name, b'"model":' + gap + shown) for gap in (b"", b" ")]
        self._held = b""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """What can be passed on after this piece."""
        text = self._held + data
        for pattern, replacement in self._patterns:
            text = text.replace(pattern, replacement)
        keep = 0 if last else max(_overlap(text, pattern) for pattern, _ in self._patterns)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: bytes, pattern: bytes) -> int:
    """Length of the longest end of the text that the pattern begins with."""
    at = text.find(pattern[:1], max(0, len(text) - len(pattern) + 1))
    while at >= 0 and not pattern.startswith(text[at:]):
        at = text.find(pattern[:1], at + 1)
    return len(text) - at if at >= 0 else 0
