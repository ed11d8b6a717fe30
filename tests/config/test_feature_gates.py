import pytest

from config.fakes import HEAD, OWN_HEAD
from config.flow_fakes import load, problems, warnings

SCORER = "plugins: [{type: queue-scorer}]\n"


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        pytest.param("[]", {"flowControl": False, "haPopulateNonLeaderDatastore": True}, id="the defaults"),
        pytest.param(
            "['haPopulateNonLeaderDatastore= F ']",
            {"flowControl": False, "haPopulateNonLeaderDatastore": False},
            id="Go's spelling of false",
        ),
        pytest.param(
            "[haPopulateNonLeaderDatastore=0, haPopulateNonLeaderDatastore, flowControl=T]",
            {"flowControl": True, "haPopulateNonLeaderDatastore": True},
            id="the last mention counts",
        ),
    ],
)
def test_feature_gates_are(gates: str, expected: dict[str, bool]) -> None:
    pipeline = load(SCORER + f"featureGates: {gates}", head=HEAD)
    assert dict(pipeline.feature_gates) == expected
    assert (pipeline.flow_control is not None) == expected["flowControl"]


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        (
            "flowControll",
            (
                "unknown feature gate 'flowControll'; did you mean 'flowControl'? accepted: "
                "flowControl, haPopulateNonLeaderDatastore"
            ),
        ),
        ("flowControl=yes", "feature gate flowControl: 'yes' is not a boolean; accepted: true, false, t, f, 1, 0"),
        ("5", "is 5; accepted: text"),
    ],
)
def test_a_wrong_feature_gate_is_a_problem(gate: str, found: str) -> None:
    assert problems(SCORER + f"featureGates:\n- {gate}\n", head=HEAD) == [f"5: featureGates[0]: {found}"]


def test_a_strategy_opens_the_gate_of_flow_control() -> None:
    pipeline = load(SCORER + "flowControl: {strategy: slo-aware}", head=OWN_HEAD)
    assert pipeline.feature_gates["flowControl"]
    assert '- "flowControl=true"  # default\n' in pipeline.effective.to_yaml()


def test_a_strategy_does_not_open_a_gate_that_the_file_closes() -> None:
    body = SCORER + "featureGates: [flowControl=false]\nflowControl: {strategy: slo-aware}"
    pipeline = load(body, head=OWN_HEAD)
    assert (pipeline.feature_gates["flowControl"], pipeline.flow_control) == (False, None)
    assert "slo-aware-ordering-policy" not in pipeline.plugins
    assert warnings(body, head=OWN_HEAD) == [
        "5: flowControl: is ignored: feature gate flowControl is off; only saturationDetector takes effect"
    ]
