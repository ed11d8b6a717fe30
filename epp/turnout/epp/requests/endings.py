"""What the proxy's access log says of a request's end, in our terms."""

from turnout.epp.gateway.accesslog import RequestEnd
from turnout.epp.requests.dispatch import LoggedEnd
from turnout.framework import Termination

# Envoy's short flag names. The client went away:
_CLIENT_GONE = frozenset({"DC", "DR", "DPE"})
# No endpoint gave a whole response: connection failed, terminated or reset, timeout, or nothing to send to.
_UPSTREAM_FAILED = frozenset({"UF", "UC", "UR", "UT", "UH", "UO", "URX", "UPE", "LR"})
# Silence for the idle time: of the endpoint, or of a client that neither sends nor reads. The status tells what it can.
_STALLED = frozenset({"SI"})


def logged_end(end: RequestEnd) -> LoggedEnd:
    """Natural unless the client left, the endpoints failed or nothing moved any more."""
    flags = frozenset(end.response_flags)
    failed = bool(flags & _UPSTREAM_FAILED) and not flags & _CLIENT_GONE
    if flags & _CLIENT_GONE:
        cause = Termination.CLIENT_DISCONNECT
    elif failed or flags & _STALLED:
        cause = Termination.ERROR
    else:
        cause = Termination.NATURAL
    return LoggedEnd(
        cause=cause,
        status=end.status or None,
        served_by=end.served,
        attempts=end.attempts,
        failed_upstream=failed,
        first_byte_seconds=end.time_to_first_byte_seconds,
        response_bytes=end.response_bytes,
    )
