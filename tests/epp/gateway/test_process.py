import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from epp.gateway.fakes import free_port, gateway
from turnout.epp.gateway.options import Address, Balanced, GatewayOptions, OverrideHost
from turnout.epp.gateway.process import EnvoyProcess, EnvoyStartError


def _options() -> GatewayOptions:
    nowhere = Balanced((Address("127.0.0.1", 9),), "round-robin")
    return GatewayOptions(nowhere, listen=Address("127.0.0.1", free_port()), admin_port=free_port())


@pytest.mark.integration
async def test_a_started_envoy_serves_until_it_is_stopped(alive: Address) -> None:
    async with gateway(GatewayOptions(Balanced((alive,), "round-robin"))) as running:
        assert (await running.post()).served == str(alive)
        directory = running.process.log_path.parent
    assert await running.process.wait() == 0
    assert not directory.exists()


def _listening_at(options: GatewayOptions, port: int) -> GatewayOptions:
    return replace(options, listen=Address("127.0.0.1", port))


def _administered_at(options: GatewayOptions, port: int) -> GatewayOptions:
    return replace(options, admin_port=port)


@pytest.mark.integration
@pytest.mark.parametrize(
    "placed_at",
    [pytest.param(_listening_at, id="the gateway's port"), pytest.param(_administered_at, id="the admin port")],
)
async def test_a_taken_port_is_named(placed_at: Callable[[GatewayOptions, int], GatewayOptions]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = int(holder.getsockname()[1])
        process = EnvoyProcess(placed_at(_options(), port))
        with pytest.raises(EnvoyStartError, match=rf"^port {port} is taken: cannot bind '127.0.0.1:{port}'"):
            await process.start()
    assert not process.log_path.exists()


@pytest.mark.integration
async def test_a_second_envoy_on_the_same_ports_fails_and_leaves_the_first_alone() -> None:
    options = _options()
    async with EnvoyProcess(options) as first:
        with pytest.raises(EnvoyStartError, match="is taken"):
            await EnvoyProcess(options).start()
        second = EnvoyProcess(replace(options, admin_port=free_port()))
        with pytest.raises(EnvoyStartError, match=f"port {options.listen.port} is taken"):
            await second.start()
        assert first.log_path.exists()


@pytest.mark.integration
async def test_envoys_own_reason_is_in_the_error(tmp_path: Path) -> None:
    options = replace(_options(), cluster=OverrideHost(tmp_path / "absent" / "eds.json"))
    with pytest.raises(EnvoyStartError, match=r"ended at once with status 1: .*absent"):
        await EnvoyProcess(options).start()


async def test_an_envoy_that_is_never_ready_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stuck = tmp_path / "envoy"
    stuck.write_text("#!/bin/sh\necho '[warning] waiting for something'\nexec sleep 60\n")
    stuck.chmod(0o755)
    monkeypatch.setenv("ENVOY_BIN", str(stuck))
    process = EnvoyProcess(_options())
    with pytest.raises(EnvoyStartError, match=r"not ready within 0\.2 s: \[warning\] waiting for something"):
        await process.start(timeout_seconds=0.2)
    assert await process.wait() == -15


async def test_waiting_for_an_envoy_that_was_not_started_is_an_error() -> None:
    process = EnvoyProcess(_options())
    with pytest.raises(RuntimeError, match="not started"):
        await process.wait()
    await process.stop()
