from turnout.framework import ProfileResult, SchedulingResult, ScoredEndpoint
from turnout.framework.testing import make_endpoint

A, B, C = (make_endpoint(name) for name in "abc")


def test_the_primary_profile_says_where_the_request_goes() -> None:
    decode = ProfileResult("decode", (B, A), (ScoredEndpoint(A, 0.5), ScoredEndpoint(B, 0.7)))
    prefill = ProfileResult("prefill", (C,), (ScoredEndpoint(C, 0.1),))
    result = SchedulingResult("decode", {"prefill": prefill, "decode": decode})
    assert result.endpoint is B
    assert result.endpoints == (B, A)
    assert (result.target_model, result.reasons) == ("", ())


def test_a_scored_endpoint_unpacks_as_endpoint_and_score() -> None:
    endpoint, score = ScoredEndpoint(A, 0.5)
    assert (endpoint, score) == (A, 0.5)
