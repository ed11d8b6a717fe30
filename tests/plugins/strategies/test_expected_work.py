from plugins.queued import queued
from turnout.plugins.strategies.expected_work import prompt_tokens, two_bands


def test_a_prompt_that_nobody_read_has_no_tokens() -> None:
    assert prompt_tokens(queued(prompt_tokens=700)) == 700
    assert prompt_tokens(queued()) == 0
    assert prompt_tokens(queued(prompt_tokens=-3)) == 0


def test_only_the_sign_of_a_priority_tells_bands_apart() -> None:
    assert [two_bands(priority) for priority in (100, 0, -1, -100)] == [0, 0, -1, -1]
