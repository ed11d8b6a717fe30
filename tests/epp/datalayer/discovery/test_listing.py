import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.datalayer.discovery.listing import MAX_BYTES, parse_endpoints
from turnout.framework import EndpointSpec

YAML = b"""
endpoints:
  - name: vllm-0
    address: 10.0.0.1
    port: "8000"
    labels: {role: decode}
    unknown: ignored
  - {name: vllm-0, namespace: other, address: "fd00::1", port: 8001}
  - {name: vllm-1, address: vllm-1.svc, port: "65535", labels: }
"""
JSON = b"""{
\t"endpoints": [
\t\t{"name": "vllm-0", "address": "10.0.0.1", "port": "8000", "labels": {"role": "decode"}},
\t\t{"name": "vllm-0", "namespace": "other", "address": "fd00::1", "port": 8001},
\t\t{"name": "vllm-1", "address": "vllm-1.svc", "port": "65535"}
\t]
}"""


@pytest.mark.parametrize("text", [YAML, JSON], ids=["YAML", "JSON with tabs"])
def test_reads_a_listing(text: bytes) -> None:
    assert parse_endpoints(text) == [
        EndpointSpec("default/vllm-0", "10.0.0.1", 8000, {"role": "decode"}),
        EndpointSpec("other/vllm-0", "fd00::1", 8001, {}),
        EndpointSpec("default/vllm-1", "vllm-1.svc", 65535, {}),
    ]


def test_an_empty_list_is_an_empty_pool() -> None:
    assert parse_endpoints(b"endpoints: []") == []


ADDRESS_EXPECTED = "expected an IPv4 address, an IPv6 address without brackets or a host name"
GOOD = {"name": "a", "address": "10.0.0.1", "port": '"8000"'}


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        pytest.param("name", '""', "endpoints[0].name: expected a text of 1 to 253 characters, got ''", id="no name"),
        pytest.param("name", "7", "endpoints[0].name: expected a text of 1 to 253 characters, got 7", id="number"),
        pytest.param("name", "a/b", "endpoints[0].name: expected no blank, slash or control", id="slash"),
        pytest.param("namespace", '"a b"', "endpoints[0].namespace: expected no blank", id="blank in namespace"),
        pytest.param("address", '"[::1]"', "endpoints[0].address: expected an IPv4 address", id="brackets"),
        pytest.param("address", "", "endpoints[0].address: expected an IPv4 address", id="no address"),
        pytest.param("port", "0", "endpoints[0].port: expected", id="port zero"),
        pytest.param("port", '"65536"', "endpoints[0].port: expected", id="port too large"),
        pytest.param("port", '"8e3"', "endpoints[0].port: expected", id="port is no number"),
        pytest.param("port", "true", "endpoints[0].port: expected", id="port is a truth value"),
        pytest.param("port", '"٣"', "endpoints[0].port: expected", id="port in other digits"),
        pytest.param("port", "", "endpoints[0].port: expected", id="no port"),
        pytest.param("labels", "[a]", "endpoints[0].labels: expected a mapping of texts", id="labels are a list"),
        pytest.param("labels", "{rank: 0}", "endpoints[0].labels[rank]: expected a text; quote it, got 0", id="number"),
    ],
)
def test_names_entry_and_field_of_a_problem(field: str, value: str, problem: str) -> None:
    entry = ", ".join(f"{key}: {text}" for key, text in (GOOD | {field: value}).items())
    with pytest.raises(ValueError, match="endpoints") as refusal:
        parse_endpoints(f"endpoints: [{{{entry}}}]".encode())
    assert str(refusal.value).startswith(problem)


def test_reports_every_problem_at_once() -> None:
    text = b"""
endpoints:
  - {name: a, address: 10.0.0.1, port: 8000}
  - nonsense
  - {name: a, address: "300.1.1.1", port: 0}
"""
    with pytest.raises(ValueError, match="endpoints") as refusal:
        parse_endpoints(text)
    assert str(refusal.value).splitlines() == [
        "endpoints[1]: expected a mapping with name, address and port",
        f"endpoints[2].address: {ADDRESS_EXPECTED}, got '300.1.1.1'",
        'endpoints[2].port: expected "1" to "65535", got 0',
        "endpoints[2].name: default/a is also endpoints[0]",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(b"", "expected a mapping with a list under 'endpoints'", id="empty"),
        pytest.param(b"[]", "expected a mapping with a list", id="list"),
        pytest.param(b"endpoints: 3", "expected a mapping with a list", id="number"),
        pytest.param(b"endpoints: [", "not YAML or JSON", id="cut off"),
        pytest.param(b"\x00\xff\xfe", "not YAML or JSON", id="bytes"),
        pytest.param(b"endpoints: []\nendpoints: []", "key 'endpoints' given twice, again in line 2", id="key twice"),
        pytest.param(b"endpoints: [&a {name: a}, *a]", "aliases", id="alias"),
        pytest.param(b"[" * 100_000, "nested deeper than 16 levels", id="deep nesting"),
        pytest.param(b"endpoints: !!python/object:os.system []", "not YAML or JSON", id="Python tag"),
        pytest.param(b"endpoints: []\n---\nendpoints: []", "not YAML or JSON", id="two documents"),
        pytest.param(b"a: 2026-99-99", "not YAML or JSON", id="impossible date"),
        pytest.param(b"#" * (MAX_BYTES + 1), "more than 1048576 bytes", id="too large"),
    ],
)
def test_refuses_what_is_no_listing(text: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_endpoints(text)


@given(st.one_of(st.binary(max_size=100), st.text("endpoits:-[]{}&*!?|>%@`\"' \n\t#,", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        parse_endpoints(text)
    except ValueError:
        return
    assert b"endpoints" in text
