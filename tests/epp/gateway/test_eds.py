import asyncio
import json
from pathlib import Path

import pytest

from epp.gateway.fakes import FakeEpp, gateway
from turnout.epp.gateway.eds import EdsFile
from turnout.epp.gateway.options import Address, GatewayOptions, OverrideHost

FIRST, SECOND = Address("10.0.0.1", 8000), Address("fd00::1", 8000)


def _endpoints(path: Path) -> list[tuple[str, int]]:
    (resource,) = json.loads(path.read_text())["resources"]
    addresses = [entry["endpoint"]["address"] for entry in resource["endpoints"][0]["lb_endpoints"]]
    return [(address["socket_address"]["address"], address["socket_address"]["port_value"]) for address in addresses]


def test_the_file_holds_the_endpoints_once_and_sorted(tmp_path: Path) -> None:
    EdsFile(tmp_path / "eds.json").write([SECOND, FIRST, SECOND])
    assert _endpoints(tmp_path / "eds.json") == [("10.0.0.1", 8000), ("fd00::1", 8000)]
    assert [path.name for path in tmp_path.iterdir()] == ["eds.json"]


def test_the_file_is_replaced_only_when_the_list_changed(tmp_path: Path) -> None:
    eds = EdsFile(tmp_path / "eds.json")
    assert eds.write([FIRST, SECOND]) is True
    before = eds.path.stat().st_ino
    assert eds.write([SECOND, FIRST]) is False
    assert eds.path.stat().st_ino == before
    assert eds.write([]) is True
    assert _endpoints(eds.path) == []


def test_a_host_name_is_refused_and_the_old_list_stays(tmp_path: Path) -> None:
    eds = EdsFile(tmp_path / "eds.json")
    eds.write([FIRST])
    with pytest.raises(ValueError, match=r"must be an IP address, got 'server\.local'"):
        eds.write([Address("server.local", 8000)])
    assert _endpoints(eds.path) == [("10.0.0.1", 8000)]


@pytest.mark.integration
async def test_envoy_takes_up_a_changed_file(epp: FakeEpp, alive: Address, other: Address, tmp_path: Path) -> None:
    eds = EdsFile(tmp_path / "eds.json")
    eds.write([])
    epp.pick = str(other)
    async with gateway(GatewayOptions(OverrideHost(eds.path), epp=epp.address)) as running:
        assert (await running.post()).status == 503
        eds.write([alive, other])
        async with asyncio.timeout(10):
            while (await running.post()).status != 200:
                pass
        assert (await running.post()).served == str(other)


@pytest.mark.integration
async def test_a_broken_file_changes_nothing(epp: FakeEpp, alive: Address, tmp_path: Path) -> None:
    eds = EdsFile(tmp_path / "eds.json")
    eds.write([alive])
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost(eds.path), epp=epp.address)) as running:
        (tmp_path / "draft").write_text("{")
        (tmp_path / "draft").rename(eds.path)
        async with asyncio.timeout(10):
            while "config update failure" not in running.process.log_path.read_text():
                await asyncio.sleep(0.01)
        assert (await running.post()).served == str(alive)
