"""Headers that a client must not be able to use, and headers that must come through, in both body modes."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import CHAT, EPP, MODEL, Mode, World, chat, world
from integration.model_servers import ModelServer, Received, model_servers
from integration.raw_http import connection
from turnout.epp.options import EppOptions

pytestmark = pytest.mark.integration

DESTINATION = "x-gateway-destination-endpoint"
OTHER_NAMES = ["user-agent", "referer", "x-forwarded-for", "x-forwarded-proto", "traceparent", "x-odd"]
ONLY_LABELLED = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: label-selector-filter
  parameters: {matchLabels: {tier: TIER}}
- type: random-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: label-selector-filter
  - pluginRef: random-picker
"""


def only(tier: str) -> EppOptions:
    return replace(EPP, config_text=ONLY_LABELLED.replace("TIER", tier))


def everything(servers: list[ModelServer]) -> list[Received]:
    return [request for server in servers for request in server.received]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([DESTINATION], id="the destination"),
        pytest.param(["X-Gateway-Destination-Endpoint", DESTINATION], id="the destination, twice"),
        pytest.param([f"{DESTINATION}-subset"], id="the subset"),
        pytest.param(["x-envoy-original-dst-host"], id="Envoy's own destination"),
        pytest.param(["x-prefiller-host-port", "x-encoder-hosts-ports"], id="the prefiller and encoders"),
        pytest.param(["x-kv-cache-source-host-port"], id="the source of cached blocks"),
    ],
)
async def test_a_client_cannot_choose_its_endpoint(
    mode: Mode, servers: list[ModelServer], tmp_path: Path, names: list[str]
) -> None:
    urls = [f"{server.url},tier={server.name}" for server in servers]
    async with model_servers("stranger") as [stranger], world(mode, tmp_path, urls, only("b")) as running:
        for wanted, body in itertools.product((stranger, servers[0]), (chat(), None)):
            forged = [(name, str(wanted.address)) for name in names]
            answer = await running.gateway.send("POST" if body else "GET", CHAT, body, forged)
            assert (answer.status, answer.served) == (200, "b")
        assert stranger.received == servers[0].received == []
        for request in servers[1].received:
            assert all(value.startswith(str(servers[1].address)) for value in request.all(DESTINATION))
            assert [name for name in names if name.lower() != DESTINATION and request.all(name)] == []
        await running.pages.settled()


@pytest.mark.parametrize("body", [pytest.param(chat(), id="no endpoint fits"), pytest.param(b"{", id="bad body")])
async def test_a_forged_destination_leads_nowhere_when_scheduling_fails(
    mode: Mode, servers: list[ModelServer], tmp_path: Path, body: bytes
) -> None:
    urls = [server.url for server in servers]
    async with model_servers("stranger") as [stranger], world(mode, tmp_path, urls, only("none")) as running:
        for address in (stranger.address, servers[0].address):
            answer = await running.gateway.send("POST", CHAT, body, [(DESTINATION, str(address))])
            assert answer.status == (400 if body == b"{" else 429)
        if body != b"{":
            assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-saturated"
            assert (answer.error["type"], answer.error["code"]) == ("rate_limit_error", "rejected-saturated")
        assert everything([stranger, *servers]) == []
        await running.pages.settled()


async def test_control_headers_do_not_reach_an_endpoint(running: World, servers: list[ModelServer]) -> None:
    names = [
        "x-llm-d-inference-fairness-id",
        "x-gateway-inference-fairness-id",
        "x-llm-d-inference-objective",
        "x-gateway-inference-objective",
        "x-llm-d-slo-ttft-ms",
        "x-slo-tpot-ms",
        "x-turnout-cost-budget",
        "x-cost-budget",
        "cost_budget",
        "x-gateway-destination-endpoint-served",
        "x-llm-d-request-dropped-reason",
        "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms",
        "x-data-parallel-host-port",
    ]
    forged = [(name, "7") for name in names]
    assert (await running.gateway.chat(headers=forged)).status == 200
    assert (await running.gateway.send("GET", "/v1/models", None, forged)).status == 200
    requests = everything(servers)
    assert len(requests) == 2
    assert [name for request in requests for name in names if request.all(name)] == []


async def test_headers_with_several_values_pass_in_both_directions(running: World, servers: list[ModelServer]) -> None:
    sent = [("x-many", "one"), ("x-many", "two, three"), ("cookie", "a=1"), ("authorization", "Bearer secret")]
    answer = await running.gateway.chat(headers=sent)
    [request] = everything(servers)
    assert ",".join(request.all("x-many")).replace(" ", "") == "one,two,three"
    assert (request.all("cookie"), request.all("authorization")) == (["a=1"], ["Bearer secret"])
    assert answer.headers.getall("set-cookie") == ["first=1; Path=/", "second=2; HttpOnly"]


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        pytest.param(Mode.BUFFERED, ["x-request-id"], id="buffered: the request id"),
        pytest.param(Mode.FULL_DUPLEX, ["x-request-id"], id="full duplex: the request id"),
        pytest.param(Mode.BUFFERED, OTHER_NAMES, id="buffered: others"),
        pytest.param(Mode.FULL_DUPLEX, OTHER_NAMES, id="full duplex: others"),
    ],
    indirect=["mode"],
)
async def test_a_header_that_is_not_utf_8_is_passed_on_and_costs_nothing(
    running: World, servers: list[ModelServer], names: list[str]
) -> None:
    for name in names:
        async with connection(running.gateway.port) as (reader, writer):
            writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n%s: \xff\xfe\r\n\r\n" % name.encode())
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    assert len(everything(servers)) == len(names)
    await running.pages.settled(5.0)


async def test_a_request_id_is_kept_or_given(running: World, servers: list[ModelServer]) -> None:
    for headers in ([("x-request-id", "mine-1")], []):
        assert (await running.gateway.chat(headers=headers)).status == 200
    ids = {value for request in everything(servers) for value in request.all("x-request-id")}
    assert sorted(len(value) for value in ids) == [6, 36]
    assert "mine-1" in ids


async def test_a_model_is_rewritten_for_the_endpoint_and_given_back_to_the_client(
    mode: Mode, running: World, servers: list[ModelServer]
) -> None:
    answer = await running.gateway.chat(headers=[("x-llm-d-model-name-rewrite", "the-model-that-is-really-there")])
    [request] = everything(servers)
    assert request.body == (
        b'{"model":"the-model-that-is-really-there","messages":[{"role": "user", "content": "Hello"}]}'
    )
    # Envoy sends a body that the picker may change chunked.
    assert request.all("content-length") == {Mode.BUFFERED: ["92"], Mode.FULL_DUPLEX: []}[mode]
    assert request.all("x-llm-d-model-name-rewrite") == []
    # Buffered as `turnout up` runs it, the picker does not see the response.
    assert answer.json["model"] == {Mode.BUFFERED: "the-model-that-is-really-there", Mode.FULL_DUPLEX: MODEL}[mode]
    await running.pages.settled()
