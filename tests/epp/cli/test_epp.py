from pathlib import Path

import aiohttp
import pytest

from turnout.epp.cli.app import run
from turnout.epp.demo.servers import Child

NO_PORTS = ("--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0")


async def test_the_picker_starts_with_a_go_command_line_and_announces_its_ports() -> None:
    arguments = ("epp", "--json", "--secure-serving=false", "--v=4", "--endpoint", "127.0.0.1:9", *NO_PORTS)
    async with Child(*arguments, "--drain-timeout=0s") as picker, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{picker.announced['metrics_port']}"
        async with session.get(f"{url}/readyz") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        async with session.get(f"{url}/endpoints") as response:
            (endpoint,) = (await response.json())["endpoints"]
    assert endpoint["address"] == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        pytest.param((), 1, "turnout: no endpoints: give --endpoint URL", id="no endpoints"),
        pytest.param(("--endpoint", "ftp://a:1"), 1, "only http is supported", id="a strange endpoint"),
        pytest.param(("--config-text", "plugins: 5"), 2, "--config-text:1: plugins", id="a bad configuration"),
        pytest.param(("--enable-cert-reload",), 2, "enable_cert_reload needs cert_path", id="flags that do not fit"),
    ],
)
def test_what_is_missing_stops_the_start_with_a_word(
    arguments: tuple[str, ...], status: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["epp", *NO_PORTS, *arguments])
    assert ended.value.code == status
    assert complaint in capsys.readouterr().err


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["epp", *NO_PORTS, "--endpoint", "127.0.0.1:9", "--cert-path", str(tmp_path)])
    assert ended.value.code == 1
    assert "tls.crt" in capsys.readouterr().err
