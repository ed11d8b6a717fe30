import pytest

from turnout.epp.cli.go_flags import comma_list, from_go

SWITCHES = {"secure-serving", "health-checking"}


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        pytest.param(["--secure-serving=false"], ["--no-secure-serving"], id="a switch off"),
        pytest.param(
            ["--secure-serving=True", "--health-checking=1"], ["--secure-serving", "--health-checking"], id="on"
        ),
        pytest.param(["--secure-serving"], ["--secure-serving"], id="a bare switch"),
        pytest.param(["--secure-serving=maybe"], ["--secure-serving=maybe"], id="no boolean is left for the parser"),
        pytest.param(
            ["-grpc-port=9002", "-pool-name", "p"], ["--grpc-port=9002", "--pool-name", "p"], id="single dash"
        ),
        pytest.param(["-v", "4"], ["-v", "4"], id="short option"),
        pytest.param(["--config-text=a=false"], ["--config-text=a=false"], id="value with an equals sign"),
        pytest.param(["--", "-x=1", "--secure-serving=false"], ["--", "-x=1", "--secure-serving=false"], id="after --"),
        pytest.param(["-5"], ["-5"], id="a negative number"),
    ],
)
def test_go_spelling_becomes_ours(given: list[str], ours: list[str]) -> None:
    assert from_go(given, SWITCHES) == ours


def test_lists_may_be_repeated_or_separated_by_commas() -> None:
    assert comma_list(["a,b", " c ", "", ",d"]) == ("a", "b", "c", "d")
