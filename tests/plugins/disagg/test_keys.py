from turnout.plugins.disagg.keys import DISAGG_DECISION, PEER_ENDPOINT


def test_the_names_of_the_field_s_plugins_are_the_defaults() -> None:
    assert DISAGG_DECISION.of("").producer == "prefix-based-pd-decider"
    assert PEER_ENDPOINT.of("").producer == "disagg-profile-handler"
