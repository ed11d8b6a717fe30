"""The pages of a running picker that tell of its prefix caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from turnout.epp.admin.reading import MAX_PAGE_BYTES, TIMEOUT_SECONDS, page_reader


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
    async with page_reader(url, max_bytes, timeout_seconds) as reader:
        diagnosis = await reader.page("diagnosis", _Diagnosis)
        endpoints = await reader.page("endpoints", _Endpoints)
        config = await reader.page("config", _Config)
    types = {plugin.name or plugin.type: plugin.type for plugin in config.config.plugins}
    return PickerPages(diagnosis.plugins, endpoints.endpoints, types)
