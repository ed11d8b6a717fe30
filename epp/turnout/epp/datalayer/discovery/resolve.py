"""Turns the host names of discovered endpoints into IP addresses."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from turnout.epp.datalayer.discovery.hosts import is_ip
from turnout.framework import EndpointSpec

_log = logging.getLogger(__name__)

RESOLVE_SECONDS = 30.0
_LOOKUP_LIMIT_SECONDS = 5.0

Lookup: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""A host's IP addresses, best first. Raises ``OSError`` when there are none."""


async def look_up(host: str) -> Sequence[str]:
    """Asks the operating system, in a thread; IPv4 addresses first.

    Raises:
        OSError: the name has no address.
        TimeoutError: no answer within 5 s.
    """
    async with asyncio.timeout(_LOOKUP_LIMIT_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Gives each endpoint one address and keeps it while the name still has it.

    A look-up that fails leaves the last known address in use, for as long as some listing has the name; a name
    that was never known leaves its endpoints out. Both are logged and counted in ``failures``.
    """

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._known: dict[str, str] = {}
        self.failures = 0

    async def resolve(self, specs: Sequence[EndpointSpec]) -> list[EndpointSpec]:
        """The specs with IP addresses, in their order, without those whose host name is not known."""
        hosts = {spec.address for spec in specs if not is_ip(spec.address)}
        self._known = {host: address for host, address in self._known.items() if host in hosts}
        await asyncio.gather(*(self._refresh(host) for host in hosts))
        return [resolved for spec in specs if (resolved := self._resolved(spec)) is not None]

    async def _refresh(self, host: str) -> None:
        try:
            addresses = await self._lookup(host)
        except (OSError, UnicodeError) as error:  # UnicodeError: the IDNA codec refuses the name
            self.failures += 1
            known = self._known.get(host)
            kept = f"keeping {known}" if known else "leaving its endpoints out"
            _log.warning("cannot resolve host %s, %s: %s", host, kept, str(error) or type(error).__name__)
            return
        # Round-robin DNS shuffles its answers; to follow it would make the endpoint start fresh each time.
        if addresses and self._known.get(host) not in addresses:
            self._known[host] = addresses[0]

    def _resolved(self, spec: EndpointSpec) -> EndpointSpec | None:
        if is_ip(spec.address):
            return spec
        address = self._known.get(spec.address)
        return None if address is None else replace(spec, address=address)
