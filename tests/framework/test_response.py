from turnout.framework import Completion, Termination, Usage
from turnout.framework.testing import make_endpoint


def test_total_tokens_are_prompt_and_completion_together() -> None:
    assert Usage(prompt_tokens=7, completion_tokens=5, cached_tokens=6).total_tokens == 12


def test_what_was_not_observed_is_absent_and_not_zero() -> None:
    completion = Completion(make_endpoint(), Termination.CLIENT_DISCONNECT)
    observed = (completion.status, completion.served_by, completion.usage, completion.first_byte_seconds)
    assert observed == (None, None, None, None)
    assert Usage().cached_tokens is None


def test_causes_are_spelled_as_metrics_show_them() -> None:
    assert [str(cause) for cause in Termination] == ["natural", "client-disconnect", "evicted", "error", "lost"]
