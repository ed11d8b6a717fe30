"""Fetches the pages of a running picker, whatever it is that answers there."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from turnout.epp.bounded_body import BodyTooLongError, read_bounded

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""About ten times what the pages of a thousand endpoints take."""

TIMEOUT_SECONDS = 10.0
"""For all pages together."""

T = TypeVar("T")


class PickerNotAskedError(Exception):
    """The picker did not answer, or with something else; the message says where and what."""


class FoundByPlugin(msgspec.Struct, frozen=True):
    """One finding of ``/diagnosis``."""

    cause: str
    message: str
    endpoint: str = ""


class PluginPage(msgspec.Struct, frozen=True):
    """What one plugin says: findings, and figures by endpoint."""

    findings: list[FoundByPlugin] = []
    endpoints: dict[str, dict[str, int | float | str | None]] = {}


class EndpointPage(msgspec.Struct, frozen=True):
    """One endpoint of ``/endpoints``."""

    name: str
    in_service: bool = True
    reason: str = ""


class _Diagnosis(msgspec.Struct, frozen=True):
    plugins: dict[str, PluginPage]


class _Endpoints(msgspec.Struct, frozen=True):
    endpoints: list[EndpointPage]


class _Plugin(msgspec.Struct, frozen=True):
    type: str
    name: str = ""


class _Plugins(msgspec.Struct, frozen=True):
    plugins: list[_Plugin] = []


class _Config(msgspec.Struct, frozen=True):
    config: _Plugins


@dataclass(frozen=True, slots=True)
class PickerPages:
    """``types`` gives the type of each configured plugin by its name."""

    diagnosis: Mapping[str, PluginPage]
    endpoints: Sequence[EndpointPage]
    types: Mapping[str, str]


async def fetch_pages(
    url: str, max_bytes: int = MAX_PAGE_BYTES, timeout_seconds: float = TIMEOUT_SECONDS
) -> PickerPages:
    """The pages behind the URL of a picker's metrics port.

    Raises:
        ValueError: the URL is none.
        PickerNotAskedError: a page cannot be had or is not what it should be.
    """
    base = _checked(url)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
        try:
            async with asyncio.timeout(timeout_seconds):
                pages = [
                    await _page(client, f"{base}/{name}", max_bytes) for name in ("diagnosis", "endpoints", "config")
                ]
        except TimeoutError:
            raise PickerNotAskedError(f"{base} did not answer within {timeout_seconds:g} s") from None
    diagnosis = _typed(pages[0], _Diagnosis, f"{base}/diagnosis")
    endpoints = _typed(pages[1], _Endpoints, f"{base}/endpoints")
    config = _typed(pages[2], _Config, f"{base}/config")
    types = {plugin.name or plugin.type: plugin.type for plugin in config.config.plugins}
    return PickerPages(diagnosis.plugins, endpoints.endpoints, types)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--admin-url must be http://HOST:PORT, not {url!r}")
    return url.rstrip("/")


async def _page(client: aiohttp.ClientSession, url: str, max_bytes: int) -> bytes:
    try:
        async with client.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise PickerNotAskedError(f"{url} answered {response.status}; is this the metrics port of a picker?")
            return await read_bounded(response, max_bytes)
    except BodyTooLongError:
        raise PickerNotAskedError(f"{url} is longer than {max_bytes} bytes") from None
    except aiohttp.ClientError as error:
        raise PickerNotAskedError(f"{url} cannot be read: {str(error) or type(error).__name__}") from None


def _typed(page: bytes, kind: type[T], url: str) -> T:
    try:
        # The standard library reads lone surrogates, which the picker's pages may have and msgspec refuses.
        return msgspec.convert(json.loads(page), kind)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise PickerNotAskedError(f"{url} is not a page of this picker's version: {error}") from None
