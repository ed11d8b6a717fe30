import asyncio
from collections.abc import AsyncIterator

import aiohttp
import grpc.aio
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from google.protobuf import text_format

from epp.gateway.fakes import FakeEpp, gateway
from turnout.epp.gateway.accesslog import AccessLogService, RequestEnd, request_end
from turnout.epp.gateway.options import Address, GatewayOptions, OverrideHost

LEASE = 'metadata { filter_metadata { key: "turnout" value { fields { key: "lease" value { string_value: "a1" } } } } }'
NUMBER_LEASE = LEASE.replace('string_value: "a1"', "number_value: 1")
EMPTY = RequestEnd("a1", None, 0, (), 0, 0.0, None, 0)


def _entry(common: str, response: str = "") -> accesslog_pb2.HTTPAccessLogEntry:
    text = f"common_properties {{ {common} }} response {{ {response} }}"
    return text_format.Parse(text, accesslog_pb2.HTTPAccessLogEntry())


@pytest.mark.parametrize(
    ("common", "response", "end"),
    [
        pytest.param("", "response_code { value: 200 }", None, id="no metadata"),
        pytest.param(LEASE.replace("turnout", "envoy.lb"), "", None, id="another namespace"),
        pytest.param(LEASE.replace("lease", "other"), "", None, id="another key"),
        pytest.param(NUMBER_LEASE, "", None, id="a lease that is not text"),
        pytest.param(LEASE, "", EMPTY, id="a lease and nothing else"),
        pytest.param(
            LEASE
            + 'upstream_remote_address { socket_address { address: "fd00::1" port_value: 8000 } }'
            + "duration { seconds: 2 nanos: 500000000 } time_to_first_upstream_rx_byte { nanos: 250000000 }"
            + "response_flags { downstream_connection_termination: true } upstream_request_attempt_count: 2",
            "response_code { value: 200 } response_body_bytes: 77",
            RequestEnd("a1", "[fd00::1]:8000", 200, ("DC",), 2, 2.5, 0.25, 77),
            id="an IPv6 endpoint, second attempt, client gone half way",
        ),
        pytest.param(
            LEASE + "response_flags { upstream_connection_failure: true upstream_retry_limit_exceeded: true }",
            "response_code { value: 503 }",
            RequestEnd("a1", None, 503, ("UF", "URX"), 0, 0.0, None, 0),
            id="no endpoint could be reached",
        ),
        pytest.param(
            LEASE + 'upstream_remote_address { pipe { path: "/run/x" } }', "", EMPTY, id="an endpoint that is no socket"
        ),
    ],
)
def test_an_entry_becomes_the_end_of_a_request(common: str, response: str, end: RequestEnd | None) -> None:
    assert request_end(_entry(common, response)) == end


async def _messages(*entries: accesslog_pb2.HTTPAccessLogEntry) -> AsyncIterator[als_pb2.StreamAccessLogsMessage]:
    for entry in entries:
        message = als_pb2.StreamAccessLogsMessage()
        message.http_logs.log_entry.append(entry)
        yield message
    yield als_pb2.StreamAccessLogsMessage()


async def test_an_unusable_entry_does_not_cost_the_next(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[RequestEnd] = []
    impossible = _entry(LEASE + 'upstream_remote_address { socket_address { address: "a" port_value: 70000 } }')
    server = grpc.aio.server()
    AccessLogService(taken.append).add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await als_pb2_grpc.AccessLogServiceStub(channel).StreamAccessLogs(_messages(impossible, _entry(LEASE)))
    await server.stop(None)
    assert taken == [EMPTY]
    assert "an access log entry could not be used" in caplog.text


@pytest.mark.integration
async def test_envoy_reports_the_end_with_lease_and_endpoint(epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        await running.post()
        end = await asyncio.wait_for(epp.ended.get(), 10)
    assert (end.lease, end.served, end.status, end.response_flags, end.attempts) == ("lease-1", str(alive), 200, (), 1)
    assert end.time_to_first_byte_seconds is not None
    assert 0 < end.time_to_first_byte_seconds <= end.duration_seconds
    assert end.response_bytes > 0


@pytest.mark.integration
async def test_a_refused_request_has_no_lease_and_is_not_reported(epp: FakeEpp, alive: Address) -> None:
    epp.refuse_with = 429
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        await running.post()
        epp.refuse_with, epp.pick = None, str(alive)
        await running.post()
        end = await asyncio.wait_for(epp.ended.get(), 10)
    assert end.status == 200


@pytest.mark.integration
async def test_a_client_that_goes_away_half_way_is_reported(epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    options = GatewayOptions(OverrideHost((alive,)), epp=epp.address)
    async with gateway(options) as running, aiohttp.ClientSession() as leaving:
        response = await leaving.get(f"http://127.0.0.1:{running.port}/endless")
        await response.content.readany()
        response.close()
        end = await asyncio.wait_for(epp.ended.get(), 10)
    assert (end.served, end.status, end.response_flags) == (str(alive), 200, ("DC",))
