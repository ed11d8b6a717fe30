from pathlib import Path
from typing import Any

import pytest

from turnout.epp.gateway.options import Address, GatewayOptions, OriginalDst, OverrideHost

ONE = OverrideHost((Address("127.0.0.1", 8101),))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("127.0.0.1:80", Address("127.0.0.1", 80), id="an IPv4 address"),
        pytest.param("[::1]:8000", Address("::1", 8000), id="an IPv6 address in brackets"),
        pytest.param("server.local:65535", Address("server.local", 65535), id="a host name and the last port"),
    ],
)
def test_an_address_is_read_and_written_the_same(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("127.0.0.1", id="no port"),
        pytest.param("::1:80", id="IPv6 without brackets"),
        pytest.param(":80", id="no host"),
        pytest.param("a:0", id="port zero"),
        pytest.param("a:65536", id="a port above 65535"),
        pytest.param("a:8x", id="a port that is no number"),
        pytest.param("a:²", id="a digit that is not ASCII"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|host"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param({"max_body_bytes": 0}, "max_body_bytes must be from 1", id="no body at all"),
        pytest.param({"message_timeout_seconds": 0.0}, "must be above 0", id="no time to answer"),
        pytest.param({"response_body": "streamed"}, "needs response_headers", id="bodies without headers"),
        pytest.param({"access_log": False}, "would not learn a request's end", id="an end nobody reports"),
        pytest.param(
            {"cluster": OriginalDst(), "failure_mode_allow": True}, "no endpoints", id="let through to nowhere"
        ),
        pytest.param(
            {"request_body": "full-duplex", "failure_mode_allow": True}, "no effect", id="let through in full duplex"
        ),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        GatewayOptions(**({"cluster": ONE} | options))


def test_an_eds_path_stands_in_for_a_list_of_endpoints() -> None:
    assert GatewayOptions(OverrideHost(Path("/run/eds.json"))).request_body == "buffered"
