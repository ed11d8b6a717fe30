import pytest

from turnout.epp.gateway.accesslog import RequestEnd
from turnout.epp.requests.dispatch import LoggedEnd
from turnout.epp.requests.endings import logged_end
from turnout.framework import Termination


@pytest.mark.parametrize(
    ("flags", "status", "cause", "failed"),
    [
        pytest.param((), 200, Termination.NATURAL, False, id="undisturbed"),
        pytest.param((), 500, Termination.NATURAL, False, id="an answer of the endpoint, whatever its status"),
        pytest.param(("DC",), 0, Termination.CLIENT_DISCONNECT, False, id="the client left"),
        pytest.param(("DC", "UC"), 0, Termination.CLIENT_DISCONNECT, False, id="the client left first"),
        pytest.param(("UF", "URX"), 503, Termination.ERROR, True, id="no connection after all retries"),
        pytest.param(("UC",), 503, Termination.ERROR, True, id="the endpoint hung up"),
        pytest.param(("SI",), 408, Termination.ERROR, False, id="the client stopped sending"),
        pytest.param(("SI",), 200, Termination.ERROR, False, id="silence within a response, of either side"),
    ],
)
def test_flags_tell_who_ended_a_request(flags: tuple[str, ...], status: int, cause: Termination, failed: bool) -> None:
    end = RequestEnd("l", "10.0.0.1:80", status, flags, 2, 1.5, 0.5, 99)
    assert logged_end(end) == LoggedEnd(cause, status or None, "10.0.0.1:80", 2, failed, 0.5, 99)
