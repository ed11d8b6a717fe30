"""Which parser reads a request, by the ending of its path."""

from collections.abc import Sequence

from turnout.framework import Headers, Named, Parser

DEFAULT_PATH = "/v1/completions"


def request_path(headers: Headers) -> str:
    """The path without its query; proxies that rewrite it leave the original in another header."""
    path = headers.get(":path", "x-original-path", "x-forwarded-path") or DEFAULT_PATH
    return path.partition("?")[0]


def matches(path: str, ending: str) -> bool:
    """Whether the path ends with these whole segments."""
    return path == ending or path.endswith("/" + ending)


def choose_parser(parsers: Sequence[Named[Parser]], path: str) -> Named[Parser]:
    """The parser with the longest matching claim, else the first without claims.

    Raises:
        ValueError: no parser claims the path and none is a fallback.
    """
    claims = [
        (len(ending), parser)
        for parser in parsers
        for ending in parser.plugin.paths
        if matches(path.rstrip("/"), ending.strip("/"))
    ]
    if claims:
        return max(claims, key=lambda claim: claim[0])[1]
    for parser in parsers:
        if not parser.plugin.paths:
            return parser
    raise ValueError(f"no parser registered matching path suffix for: {path}")
