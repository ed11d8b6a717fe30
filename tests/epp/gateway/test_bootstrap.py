import asyncio
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from epp.gateway.fakes import DESTINATION, FakeEpp, free_port, gateway, serve_epp
from turnout.epp.gateway.binary import find_envoy
from turnout.epp.gateway.bootstrap import envoy_bootstrap, to_yaml
from turnout.epp.gateway.options import (
    Address,
    Balanced,
    BalancingPolicy,
    Cluster,
    EppTls,
    GatewayOptions,
    OriginalDst,
    OverrideHost,
    RequestBodyMode,
)
from turnout.epp.wire_names import ROUTING_HEADERS

MIB = 1024 * 1024
TWO = (Address("127.0.0.1", 8101), Address("::1", 8102))
FULL = GatewayOptions(
    OverrideHost(TWO),
    epp_tls=EppTls(),
    request_body="full-duplex",
    response_headers=True,
    response_body="full-duplex",
    access_log=False,
)


def _validate(options: GatewayOptions, folder: Path) -> str:
    path = folder / "envoy.yaml"
    path.write_text(to_yaml(envoy_bootstrap(options)))
    command = [str(find_envoy()), "--mode", "validate", "-c", str(path), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 and not done.stderr else done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("request_body", ["none", "buffered", "buffered-partial", "full-duplex"])
@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(OverrideHost(TWO), id="override host"),
        pytest.param(OverrideHost((Address("localhost", 8101),)), id="override host by name"),
        pytest.param(OriginalDst(), id="original destination"),
        pytest.param(Balanced(TWO, "round-robin"), id="round robin"),
        pytest.param(Balanced(TWO, "least-request"), id="least request"),
    ],
)
def test_envoy_accepts_every_request_mode_without_a_warning(
    cluster: Cluster, request_body: RequestBodyMode, tmp_path: Path
) -> None:
    assert _validate(GatewayOptions(cluster, request_body=request_body), tmp_path).endswith("OK")


@pytest.mark.integration
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(FULL, id="full duplex both ways, TLS"),
        pytest.param(
            GatewayOptions(OverrideHost(TWO), response_headers=True, response_body="streamed"), id="streamed response"
        ),
        pytest.param(GatewayOptions(OriginalDst(), response_headers=True), id="response headers only"),
        pytest.param(GatewayOptions(OverrideHost(TWO), eviction=True), id="streams that stay open"),
        pytest.param(GatewayOptions(OverrideHost(TWO), failure_mode_allow=True), id="let through without the EPP"),
    ],
)
def test_envoy_accepts_every_response_mode_without_a_warning(options: GatewayOptions, tmp_path: Path) -> None:
    assert _validate(options, tmp_path).endswith("OK")


@pytest.mark.parametrize("policy", ["round-robin", "least-request"])
def test_envoys_own_balancing_knows_no_epp(policy: BalancingPolicy) -> None:
    text = to_yaml(envoy_bootstrap(GatewayOptions(Balanced(TWO, policy))))
    assert "ext_proc" not in text
    assert "http_grpc" not in text
    assert "9002" not in text


@pytest.mark.integration
@pytest.mark.parametrize(
    ("length", "status"),
    [
        pytest.param(30 * MIB, 200, id="30 MiB passes"),
        pytest.param(32 * MIB, 200, id="the bound itself passes"),
        pytest.param(32 * MIB + 1, 413, id="one byte more is refused"),
        pytest.param(40 * MIB, 413, id="40 MiB are refused"),
    ],
)
async def test_a_buffered_body_is_bounded(length: int, status: int, epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        answer = await running.post(b"x" * length)
    assert answer.status == status
    assert answer.length == (length if status == 200 else 0)


@pytest.mark.integration
async def test_the_epp_is_told_that_the_end_comes_by_access_log(epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        await running.post()
    assert epp.stream_metadata["x-turnout-request-end"] == "access-log"
    assert epp.received == ["request_headers", "request_body"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "cluster_of",
    [pytest.param(OverrideHost, id="override host"), pytest.param(lambda _: OriginalDst(), id="original destination")],
)
async def test_the_pick_wins_over_a_forged_destination(
    cluster_of: type[OverrideHost], epp: FakeEpp, alive: Address, other: Address
) -> None:
    epp.pick = str(alive)
    forged = dict.fromkeys(ROUTING_HEADERS, str(other)) | {"x-request-id": "mine", "x-envoy-max-retries": "9"}
    async with gateway(GatewayOptions(cluster_of((alive, other)), epp=epp.address)) as running:
        answers = [await running.post(headers=forged) for _ in range(3)]
    assert [answer.served for answer in answers] == [str(alive)] * 3
    seen = answers[0].headers
    assert {name: seen[name] for name in forged if name in seen} == {DESTINATION: str(alive), "x-request-id": "mine"}


@pytest.mark.integration
async def test_a_request_without_an_id_gets_one(epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        answer = await running.get()
    assert len(answer.headers["x-request-id"]) == 36


@pytest.mark.integration
async def test_with_a_dead_epp_requests_are_let_through_but_choose_nothing(alive: Address, other: Address) -> None:
    dead_epp = Address("127.0.0.1", free_port())
    options = GatewayOptions(OverrideHost((alive, other)), epp=dead_epp, failure_mode_allow=True)
    async with gateway(options) as running:
        answers = [await running.post(headers={DESTINATION: str(other)}) for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.served for answer in answers} == {str(alive), str(other)}
    assert not any(DESTINATION in answer.headers for answer in answers)


@pytest.mark.integration
@pytest.mark.parametrize(
    "cluster_of",
    [pytest.param(OverrideHost, id="override host"), pytest.param(lambda _: OriginalDst(), id="original destination")],
)
async def test_with_a_dead_epp_and_no_leave_requests_are_answered_503(
    cluster_of: type[OverrideHost], alive: Address
) -> None:
    dead_epp = Address("127.0.0.1", free_port())
    async with gateway(GatewayOptions(cluster_of((alive,)), epp=dead_epp)) as running:
        assert (await running.post(headers={DESTINATION: str(alive)})).status == 503


@pytest.mark.integration
async def test_the_epp_refuses_after_reading_the_body(epp: FakeEpp, alive: Address) -> None:
    epp.refuse_with = 429
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        assert (await running.post()).status == 429


@pytest.mark.integration
async def test_picks_hold_under_concurrent_requests(epp: FakeEpp, alive: Address, other: Address) -> None:
    epp.pick = str(other)
    async with gateway(GatewayOptions(OverrideHost((alive, other)), epp=epp.address)) as running:
        answers = await asyncio.gather(*(running.post() for _ in range(50)))
    assert {answer.served for answer in answers} == {str(other)}


@pytest.mark.integration
async def test_a_response_under_way_outlives_the_epp(alive: Address) -> None:
    async with AsyncExitStack() as stack:
        epp = await stack.enter_async_context(serve_epp())
        epp.pick = str(alive)
        async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
            url = f"http://127.0.0.1:{running.port}/endless"
            async with running.client.post(url, data=b"{}") as response:
                assert await response.content.readexactly(9) == b"data: x\n\n"
                await stack.aclose()
                assert (await running.post()).status == 503
                assert await response.content.readexactly(900) == b"data: x\n\n" * 100
