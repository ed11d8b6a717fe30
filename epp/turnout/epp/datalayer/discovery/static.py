"""Endpoints from the command line."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import SplitResult, urlsplit

from turnout.epp.datalayer.discovery.hosts import is_host
from turnout.framework import EndpointSpec

_HTTP_PORT = 80


def parse_endpoint(text: str) -> EndpointSpec:
    """Reads ``URL[,label=value...]``; the URL is ``http://host:port`` or ``host:port``, IPv6 in brackets.

    The name is ``default/host:port``.

    Raises:
        ValueError: the text is something else.
    """
    url, *pairs = text.split(",")
    parts, port = _split(url.strip(), text)
    if parts.scheme != "http":
        raise ValueError(f"endpoint {text!r}: only http is supported, got {parts.scheme}")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"endpoint {text!r}: expected only a host and a port")
    host = parts.hostname or ""
    if not is_host(host):
        raise ValueError(f"endpoint {text!r}: {host!r} is neither an IP address nor a host name")
    shown = f"[{host}]" if ":" in host else host
    return EndpointSpec(f"default/{shown}:{port}", host, port, dict(_label(pair, text) for pair in pairs))


def _split(url: str, text: str) -> tuple[SplitResult, int]:
    has_scheme = "://" in url
    try:
        parts = urlsplit(url if has_scheme else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise ValueError(f"endpoint {text!r}: {error}") from None
    if port is None and has_scheme:
        port = _HTTP_PORT
    if not port:
        raise ValueError(f"endpoint {text!r}: a port within 1 to 65535 is missing")
    return parts, port


def _label(pair: str, text: str) -> tuple[str, str]:
    key, equals, value = pair.strip().partition("=")
    if not key or not equals:
        raise ValueError(f"endpoint {text!r}: expected label=value, got {pair!r}")
    return key, value


class StaticDiscovery:
    """Publishes the given endpoints once.

    Raises:
        ValueError: two of them have one name.
    """

    def __init__(self, specs: Sequence[EndpointSpec]) -> None:
        names = [spec.name for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"endpoint {name} is given twice")
        self.specs = tuple(specs)

    async def discover(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
        """Publishes and waits to be cancelled."""
        await publish(self.specs)
        await asyncio.Event().wait()
