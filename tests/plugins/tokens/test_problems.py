from turnout.plugins.tokens.problems import NoTokenIdsError


def test_a_problem_has_its_kind_beside_its_text() -> None:
    error = NoTokenIdsError("skipped", "the server failed lately")
    assert (error.reason, str(error)) == ("skipped", "the server failed lately")
