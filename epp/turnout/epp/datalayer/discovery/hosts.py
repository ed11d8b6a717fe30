"""What may stand as an endpoint's address."""

import re
from ipaddress import ip_address

_MAX_NAME = 253
_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")


def is_ip(address: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address, the latter without brackets."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def is_host(address: str) -> bool:
    """Whether the text is an IP address or could be a host name; "300.1.2.3" is neither."""
    if is_ip(address):
        return True
    if len(address) > _MAX_NAME or _DIGITS_AND_DOTS.fullmatch(address):
        return False
    return _HOST_NAME.fullmatch(address) is not None
