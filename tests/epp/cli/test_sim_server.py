import pytest

from turnout.epp.cli.app import run


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("--port", "70000"), "port must be between 0 and 65535, got 70000", id="port"),
        pytest.param(("--fault", "flood"), "fault 'flood'", id="fault"),
        pytest.param(("--time-scale", "0"), "time_scale must be a finite number above 0", id="time scale"),
        pytest.param(("--servers", "65"), "servers must be between 1 and 64, got 65", id="too many servers"),
        pytest.param(("--servers", "2"), "servers above 1 need port 0", id="two servers on one port"),
        pytest.param(("--kv-links", "/nowhere/links.json"), "/nowhere/links.json", id="links that are not there"),
        pytest.param(("--kv-links", "/dev/null"), "KV links: ", id="links that are no document"),
    ],
)
def test_a_value_out_of_range_is_named(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["sim-server", *arguments])
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
