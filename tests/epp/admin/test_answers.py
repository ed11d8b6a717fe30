import pytest
from aiohttp import web

from turnout.epp.admin.answers import error_answer, finite, json_answer


def text_of(answer: web.Response) -> str:
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


def test_a_document_is_json_for_people() -> None:
    answer = json_answer({"name": "a\ud800"})
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert text_of(answer) == '{\n  "name": "a\\ud800"\n}\n'


def test_an_error_says_what_is_wrong() -> None:
    answer = error_answer(503, "busy")
    assert (answer.status, text_of(answer)) == (503, '{\n  "error": "busy"\n}\n')


@pytest.mark.parametrize(("value", "shown"), [(0.5, 0.5), (float("nan"), None), (float("-inf"), None)])
def test_json_has_no_nan_and_no_infinity(value: float, shown: float | None) -> None:
    assert finite(value) == shown
