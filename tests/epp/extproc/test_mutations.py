import pytest

from turnout.epp.extproc.mutations import (
    control_headers_in,
    control_headers_removed,
    decision_applied,
    response_changes,
    without_retries,
)
from turnout.epp.extproc.values import Mutation
from turnout.epp.requests.exchange import Routed
from turnout.epp.wire_names import CONTROL_HEADERS
from turnout.framework import Headers

DESTINATION = "x-gateway-destination-endpoint"
PICK = {DESTINATION: "10.0.0.1:8000"}


def routed(**set_headers: str) -> Routed:
    return Routed("10.0.0.1:8000", "lease", {name.replace("_", "-"): value for name, value in set_headers.items()})


def test_only_control_headers_that_were_sent_are_removed_and_each_once() -> None:
    headers = Headers([("X-SLO-TTFT-ms", "3"), ("accept", "*/*"), ("x-slo-ttft-ms", "4"), (DESTINATION, "1.2.3.4:5")])
    assert control_headers_in(headers) == ("x-slo-ttft-ms", DESTINATION)
    assert control_headers_removed(headers) == Mutation({}, ("x-slo-ttft-ms", DESTINATION))


@pytest.mark.parametrize("name", sorted(CONTROL_HEADERS))
def test_no_control_header_of_a_client_survives_the_decision(name: str) -> None:
    mutation = decision_applied(Headers([(name, "forged")]), routed())
    assert name in mutation.remove_headers or mutation.set_headers[name] == "10.0.0.1:8000"


@pytest.mark.parametrize(
    ("headers", "decision", "expected"),
    [
        pytest.param([], routed(), Mutation(PICK), id="the destination is always set"),
        pytest.param([(DESTINATION, "1.2.3.4:5")], routed(), Mutation(PICK), id="a forged destination is overwritten"),
        pytest.param(
            [(DESTINATION, "10.0.0.1:8000"), (DESTINATION, "1.2.3.4:5")],
            routed(),
            Mutation(PICK),
            id="a forged destination list too",
        ),
        pytest.param([("x-request-id", "7")], routed(x_request_id="7"), Mutation(PICK), id="an equal header stays"),
        pytest.param(
            [("x-request-id", "7"), ("x-request-id", "8")],
            routed(x_request_id="7"),
            Mutation({"x-request-id": "7", **PICK}),
            id="two values become the one decided",
        ),
        pytest.param(
            [("x-prefiller-host-port", "9.9.9.9:1")],
            routed(x_prefiller_host_port="10.0.0.2:8000"),
            Mutation({"x-prefiller-host-port": "10.0.0.2:8000", **PICK}),
            id="a decided control header is set and not removed",
        ),
        pytest.param(
            [("x-kv-cache-source-host-port", "9.9.9.9:1"), ("X-KV-Cache-Source-Host-Port", "9.9.9.9:2")],
            routed(x_kv_cache_source_host_port="10.0.0.2:8000"),
            Mutation({"x-kv-cache-source-host-port": "10.0.0.2:8000", **PICK}),
            id="a forged source of cached blocks is overwritten",
        ),
        pytest.param(
            [("x-prefiller-host-port", "10.0.0.2:8000")],
            routed(x_prefiller_host_port="10.0.0.2:8000"),
            Mutation({"x-prefiller-host-port": "10.0.0.2:8000", **PICK}),
            id="even one that the client guessed",
        ),
        pytest.param(
            [],
            routed(**{DESTINATION: "6.6.6.6:6", "content_length": "1"}),
            Mutation(PICK),
            id="destination and length are not a plugin's to set",
        ),
        pytest.param(
            [("content-length", "5")],
            Routed("10.0.0.1:8000", "lease", body=b"replaced"),
            Mutation({**PICK, "content-length": "8"}),
            id="a replaced body has its own length",
        ),
        pytest.param(
            [("x-m", "1"), ("x-m", "2"), ("content-length", "5")], routed(), Mutation(PICK), id="others are left alone"
        ),
    ],
)
def test_the_decision_changes_nothing_but_what_it_must(
    headers: list[tuple[str, str]], decision: Routed, expected: Mutation
) -> None:
    assert decision_applied(Headers(headers), decision) == expected


@pytest.mark.parametrize(
    ("headers", "wanted", "drop_length", "expected"),
    [
        pytest.param([("a", "1")], {"a": "1"}, False, Mutation(), id="an equal header stays"),
        pytest.param([("a", "1")], {"A": "2"}, False, Mutation({"a": "2"}), id="another value is set"),
        pytest.param([("content-length", "9")], {}, True, Mutation({}, ("content-length",)), id="the length goes"),
        pytest.param([], {}, True, Mutation(), id="there is no length to drop"),
        pytest.param([("content-length", "9")], {}, False, Mutation(), id="the length stays"),
    ],
)
def test_a_response_keeps_what_need_not_change(
    headers: list[tuple[str, str]], wanted: dict[str, str], drop_length: bool, expected: Mutation
) -> None:
    assert response_changes(Headers(headers), wanted, drop_length=drop_length) == expected


def test_a_request_that_must_not_be_retried_says_so_whatever_the_client_sent() -> None:
    forged = Mutation(PICK, ("x-turnout-single-attempt", "x-slo-ttft-ms"))
    assert without_retries(forged) == Mutation({**PICK, "x-turnout-single-attempt": "true"}, ("x-slo-ttft-ms",))
