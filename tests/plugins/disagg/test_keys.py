from turnout.framework.testing import make_endpoint
from turnout.plugins.disagg.keys import DISAGG_DECISION, PEER_ENDPOINT, ReasonedDecision


def test_the_names_of_the_field_s_plugins_are_the_defaults() -> None:
    assert DISAGG_DECISION.of("").producer == "prefix-based-pd-decider"
    assert PEER_ENDPOINT.of("").producer == "disagg-profile-handler"


def test_a_decision_with_a_reason_is_a_decision() -> None:
    decision = ReasonedDecision(
        lambda endpoint: endpoint.name == "default/a", lambda endpoint: f"it is {endpoint.name}"
    )
    assert (decision(make_endpoint("a")), decision(make_endpoint("b"))) == (True, False)
    assert decision.reason(make_endpoint("b")) == "it is default/b"
