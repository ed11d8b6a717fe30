import pytest

from plugins.queued import queued
from turnout.plugins.strategies.expected_work import output_tokens, prompt_tokens, two_bands


def test_a_prompt_that_nobody_read_has_no_tokens() -> None:
    assert prompt_tokens(queued(prompt_tokens=700)) == 700
    assert prompt_tokens(queued()) == 0
    assert prompt_tokens(queued(prompt_tokens=-3)) == 0


@pytest.mark.parametrize(
    ("allowed", "tokens"),
    [
        pytest.param(None, 256, id="nothing is said"),
        pytest.param(10, 10, id="less is allowed"),
        pytest.param(100_000, 256, id="more is allowed"),
        pytest.param(-1, 0, id="less than nothing is allowed"),
    ],
)
def test_an_answer_is_as_long_as_expected_or_allowed(allowed: int | None, tokens: int) -> None:
    assert output_tokens(queued(max_output_tokens=allowed), 256) == tokens


def test_only_the_sign_of_a_priority_tells_bands_apart() -> None:
    assert [two_bands(priority) for priority in (100, 0, -1, -100)] == [0, 0, -1, -1]
