import pytest

from turnout.epp.simulator.kv_links import KvLink, KvLinks, is_host_port, parse_kv_links


def test_a_transfer_takes_the_latency_and_its_bytes_at_the_bandwidth() -> None:
    assert KvLink(bytes_per_second=1e9, latency_seconds=0.5).seconds(2_000_000_000) == 2.5


def test_a_peer_has_its_own_link_and_all_others_the_default() -> None:
    links = parse_kv_links(
        b'{"default": {"bytes_per_second": 10}, "peers": {"10.0.0.1:80": {"bytes_per_second": 20}, "[::1]:80": {}}}'
    )
    assert links.link_from("10.0.0.1:80").bytes_per_second == 20
    assert links.link_from("10.0.0.1:81").bytes_per_second == 10
    assert links.link_from("[::1]:80") == KvLink(25e9, 0.0001)


def test_more_than_ten_thousand_peers_are_refused() -> None:
    with pytest.raises(ValueError, match="peers must be at most 10,000, got 10,001"):
        KvLinks(peers={f"h:{port}": KvLink() for port in range(1, 10_002)})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(b"{", "KV links: ", id="not JSON"),
        pytest.param(b"\xff", "KV links: ", id="not UTF-8"),
        pytest.param(b'{"speed": 1}', "unknown field `speed`", id="an unknown field"),
        pytest.param(
            b'{"default": {"bytes_per_second": 0}}',
            "bytes_per_second must be a finite number from 1 on",
            id="no bandwidth",
        ),
        pytest.param(b'{"default": {"latency_seconds": -1}}', "must be between 0 and 60", id="negative latency"),
        pytest.param(b'{"peers": {"nowhere": {}}}', "must be named host:port, got 'nowhere'", id="a peer without port"),
    ],
)
def test_a_wrong_document_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_kv_links(document)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        pytest.param("10.0.0.1:8000", True, id="IPv4"),
        pytest.param("[fd00::1]:8000", True, id="IPv6"),
        pytest.param("prefill-0.svc:8000", True, id="a name"),
        pytest.param("10.0.0.1", False, id="no port"),
        pytest.param("10.0.0.1:65536", False, id="port out of range"),
        pytest.param("10.0.0.1:0", False, id="port zero"),
        pytest.param("user@10.0.0.1:80", False, id="credentials"),
        pytest.param("10.0.0.1:80/path", False, id="a path"),
        pytest.param("10.0.0.1:80\r\nx: y", False, id="another header"),
    ],
)
def test_only_a_host_and_a_port_name_a_peer(text: str, valid: bool) -> None:
    assert is_host_port(text) is valid
