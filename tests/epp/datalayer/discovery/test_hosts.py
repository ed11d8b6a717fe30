import pytest

from turnout.epp.datalayer.discovery.hosts import is_host, is_ip


@pytest.mark.parametrize(
    ("address", "ip", "host"),
    [
        pytest.param("10.0.0.1", True, True, id="IPv4"),
        pytest.param("fd00::1", True, True, id="IPv6"),
        pytest.param("::ffff:10.0.0.1", True, True, id="IPv4 in IPv6"),
        pytest.param("vllm-0.vllm.default.svc.cluster.local", False, True, id="host name"),
        pytest.param("localhost", False, True, id="one label"),
        pytest.param("my_host.", False, True, id="underscore and final dot"),
        pytest.param("[::1]", False, False, id="brackets"),
        pytest.param("300.1.2.3", False, False, id="IPv4 out of range"),
        pytest.param("10.0.0.1:8000", False, False, id="with a port"),
        pytest.param("-a.b", False, False, id="leading hyphen"),
        pytest.param("a..b", False, False, id="empty label"),
        pytest.param("a b", False, False, id="blank"),
        pytest.param("a\n", False, False, id="line end"),
        pytest.param("a" * 64, False, False, id="label of 64"),
        pytest.param("a." * 127, False, False, id="name of 254"),
        pytest.param("", False, False, id="empty"),
    ],
)
def test_tells_addresses_names_and_neither(address: str, ip: bool, host: bool) -> None:
    assert (is_ip(address), is_host(address)) == (ip, host)
