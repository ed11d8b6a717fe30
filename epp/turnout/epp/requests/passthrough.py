"""Bodies that nobody reads: the request is routed by its headers alone."""

from collections.abc import Collection

from turnout.framework import ParsedBody, Usage


class PassthroughParser:
    """The fallback for every path that no other parser claims; finds neither model nor prompt."""

    paths: Collection[str] = ()

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """An empty result for any body."""
        return ParsedBody()

    def rewrite_model(self, body: bytes, model: str) -> bytes:
        """The body as it is: where the model stands in it is unknown."""
        return body

    def usage(self, body: bytes) -> Usage | None:
        """None for any body."""
        return None
