import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from turnout.epp.cli.app import run
from turnout.epp.demo.gateways import free_ports
from turnout.epp.gateway.binary import find_envoy
from turnout.epp.gateway.eds import EdsFile


def printed_config(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run(["up", "--print-envoy-config", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.integration
def test_the_printed_envoy_configuration_is_valid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(printed_config(capsys))
    (tmp_path / "endpoints").mkdir()
    EdsFile(tmp_path / "endpoints" / "eds.json").write(())
    checked = subprocess.run(
        [find_envoy(), "--mode", "validate", "-c", file], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("plugins", "request_mode", "response_headers", "response_mode"),
    [
        pytest.param([], "BUFFERED", "SKIP", "NONE", id="the default reads no response"),
        pytest.param(
            ["session-affinity-scorer"], "BUFFERED", "SEND", "NONE", id="a plugin that reads response headers"
        ),
    ],
)
def test_envoy_sends_only_what_the_plugins_need(
    plugins: list[str],
    request_mode: str,
    response_headers: str,
    response_mode: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "epp.yaml"
    listed = [{"type": name} for name in ["queue-scorer", *plugins]]
    file.write_text(yaml.safe_dump({"apiVersion": "turnout/v1", "kind": "EndpointPickerConfig", "plugins": listed}))
    text = printed_config(capsys, "--config-file", str(file))
    config = yaml.safe_load(text)
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    mode = manager["http_filters"][0]["typed_config"]["processing_mode"]
    assert mode["request_body_mode"] == request_mode
    assert mode["response_header_mode"] == response_headers
    assert mode.get("response_body_mode", "NONE") == response_mode


def test_a_gateway_without_endpoints_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["up", "--metrics-port", "0"])
    assert ended.value.code == 1
    assert "no endpoints: give --endpoint URL" in capsys.readouterr().err


@pytest.mark.integration
def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, (admin,) = taken.getsockname()[1], free_ports(1)
        ports = ["--port", str(port), "--envoy-admin-port", str(admin), "--metrics-port", "0"]
        with pytest.raises(SystemExit) as ended:
            run(["up", "--endpoint", "127.0.0.1:9", *ports])
    assert ended.value.code == 1
    assert f"port {port} is taken" in capsys.readouterr().err


def test_only_one_of_envoys_policies_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["up", "--endpoint", "127.0.0.1:9", "--round-robin", "--least-request"])
    assert ended.value.code == 2
    assert "--round-robin and --least-request exclude each other" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["--round-robin", "--least-request"])
def test_there_is_no_configuration_for_the_picker_without_a_picker(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["up", "--print-envoy-config", policy])
    assert ended.value.code == 2
    assert f"leave out {policy}" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["round-robin", "least-request"])
def test_envoy_alone_needs_an_endpoint(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["up", f"--{policy}"])
    assert ended.value.code == 1
    assert f"{policy} needs at least one --endpoint" in capsys.readouterr().err
