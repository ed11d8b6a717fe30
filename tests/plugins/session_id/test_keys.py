from turnout.plugins.session_id.keys import SESSION_ID


def test_an_unnamed_producer_is_the_one_of_this_feature() -> None:
    assert SESSION_ID.of("") is SESSION_ID.of("session-id-producer")
    assert SESSION_ID.of("").producer == "session-id-producer"
    assert SESSION_ID.of("mine") is not SESSION_ID.of("")
