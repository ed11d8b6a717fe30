"""Reads token counts off a response body as it passes, across any chunk borders, with bounded memory."""

from turnout.framework import Parser, Usage

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024


class UsageReader:
    """Feeds on pieces of one response body; ``usage`` is the latest count seen, None before the first.

    A JSON document longer than 4 MiB or an event longer than 1 MiB is passed over: its usage stays unknown.
    """

    def __init__(self, parser: Parser, *, streaming: bool) -> None:
        self.usage: Usage | None = None
        self._parser = parser
        self._streaming = streaming
        self._buffer = bytearray()
        self._overflowed = False

    def feed(self, data: bytes, *, last: bool) -> None:
        """Takes the next piece of the body."""
        if self._streaming:
            self._feed_events(data, last=last)
        else:
            self._feed_document(data, last=last)

    def _feed_document(self, data: bytes, *, last: bool) -> None:
        self._append(data, MAX_DOCUMENT_BYTES)
        if last and not self._overflowed:
            self.usage = self._parser.usage(bytes(self._buffer)) or self.usage
            self._buffer.clear()

    def _feed_events(self, data: bytes, *, last: bool) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._append(line, MAX_LINE_BYTES)
            self._end_line()
        self._append(rest, MAX_LINE_BYTES)
        if last:
            self._end_line()

    def _append(self, data: bytes, limit: int) -> None:
        if self._overflowed or len(self._buffer) + len(data) > limit:
            self._overflowed = True
            self._buffer.clear()
        else:
            self._buffer += data

    def _end_line(self) -> None:
        line, self._overflowed = bytes(self._buffer), False
        self._buffer.clear()
        # Most events carry no usage, or `"usage":null`; those are not worth decoding.
        if line.startswith(b"data:") and b'"usage"' in line:
            self.usage = self._parser.usage(line[5:].strip()) or self.usage
