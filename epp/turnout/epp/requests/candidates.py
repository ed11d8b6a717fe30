"""The subset hint: which endpoints the proxy allows for a request."""

from collections.abc import Sequence

from turnout.framework import Endpoint


def in_subset(endpoints: Sequence[Endpoint], subset: Sequence[str] | None) -> Sequence[Endpoint]:
    """The endpoints whose IP address is that of some ``ip:port`` entry; all of them without a hint.

    The port is ignored, so that every rank of a host matches. An empty hint allows nothing.
    """
    if subset is None:
        return endpoints
    allowed = {_host(entry) for entry in subset}
    return tuple(endpoint for endpoint in endpoints if endpoint.address in allowed)


def _host(entry: str) -> str:
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    # A bare IPv6 address has several colons and no port to cut off.
    return entry.rpartition(":")[0] if entry.count(":") == 1 else entry
