import pytest

from turnout.epp.cli.app import run


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    status = ended.value.code
    assert isinstance(status, int)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("command", ["up", "epp", "validate", "status", "kv-doctor", "topology", "sim-server", "demo"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = output_of(capsys, command, "--help")
    assert status == 0
    assert f"Usage: turnout {command}" in out
    assert command in output_of(capsys, "--help")[1]


def test_go_flags_without_effect_are_mentioned_and_wrong_values_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = output_of(capsys, "epp", "--tracing=false", "--secure-serving=false", "-grpc-port=70000")
    assert status == 2
    assert err.splitlines() == [
        "turnout: without effect here: --tracing",
        "turnout: grpc_port must be from 0 to 65535, not 70000",
    ]


def test_flags_that_would_be_missed_stop_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = output_of(capsys, "epp", "--endpoint-selector=app=x")
    assert status == 2
    assert err.startswith("turnout: --endpoint-selector needs Kubernetes discovery")
