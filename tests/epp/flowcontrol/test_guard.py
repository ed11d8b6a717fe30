import pytest

from turnout.epp.flowcontrol.guard import Guard, a_number, as_many
from turnout.framework import ExtensionPoint, Named, NoEndpointsError, PluginError


class Policy:
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def answer(self) -> int:
        if self._error is not None:
            raise self._error
        return 42


@pytest.mark.parametrize(
    ("error", "answer", "reported"),
    [
        pytest.param(None, 42, [], id="an answer"),
        pytest.param(
            RuntimeError("no"), 7, ["plugin 'p' failed as Ordering: RuntimeError: no"], id="whatever it raises"
        ),
        pytest.param(
            NoEndpointsError("default", "f"),
            7,
            ["plugin 'p' failed as Ordering: raised NoEndpointsError, which is not its to raise"],
            id="an outcome of scheduling is not a policy's to raise",
        ),
    ],
)
def test_a_failing_policy_is_reported_and_stood_in_for(
    error: Exception | None, answer: int, reported: list[str]
) -> None:
    failures: list[PluginError] = []
    guard = Guard(failures.append)
    assert guard.ask(Named(Policy(error), "p"), ExtensionPoint.ORDERING, Policy.answer, 7) == answer
    assert [str(failure) for failure in failures] == reported


def test_answers_have_to_be_numbers_and_as_many_as_asked_for() -> None:
    assert a_number(float("inf")) == float("inf")
    assert as_many([0.5, 1.0], 2) == [0.5, 1.0]
    with pytest.raises(ValueError, match="NaN"):
        a_number(float("nan"))
    with pytest.raises(ValueError, match="1 values where 2"):
        as_many([1.0], 2)
    with pytest.raises(ValueError, match="NaN"):
        as_many([float("nan")], 1)
