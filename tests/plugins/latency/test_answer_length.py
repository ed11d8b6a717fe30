from dataclasses import replace

import pytest

from turnout.framework.testing import make_request
from turnout.plugins.latency.answer_length import AnswerLengths

PLAIN, STREAM = make_request(), replace(make_request(), stream=True)


def test_answers_are_expected_to_be_as_long_as_those_before_and_as_the_request_allows() -> None:
    lengths = AnswerLengths(256)
    assert lengths.expected(PLAIN) == 256
    assert lengths.expected(replace(PLAIN, max_output_tokens=10)) == 10
    for _ in range(100):
        lengths.saw(40)
    assert lengths.expected(PLAIN) == 40


@pytest.mark.parametrize(
    ("streamed", "events", "seen_bytes", "response_bytes", "tokens"),
    [
        pytest.param(True, 50, 11_500, 0, 50, id="every event passed"),
        pytest.param(True, 1, 200, 20_000, 100, id="the first event passed, and the length is known"),
        pytest.param(True, 0, 0, 23_000, 100, id="only the length of a stream is known"),
        pytest.param(False, 0, 0, 950, 100, id="only the length of plain text is known"),
        pytest.param(False, 0, 0, 10, 1, id="an answer shorter than any"),
        pytest.param(False, 0, 0, 0, 256, id="nothing is known: as long as expected"),
    ],
)
def test_bytes_tell_how_many_tokens_an_answer_had(
    streamed: bool, events: int, seen_bytes: int, response_bytes: int, tokens: int
) -> None:
    request = STREAM if streamed else PLAIN
    assert AnswerLengths(256).estimated(request, events, seen_bytes, response_bytes) == tokens
