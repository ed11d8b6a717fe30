import pytest

from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.requests.intake import Intake, take_in
from turnout.epp.requests.openai import OpenAIParser
from turnout.epp.requests.target_model import retargeted
from turnout.framework import (
    REQUEST_BODY,
    CycleState,
    Headers,
    Named,
    PluginError,
    ProfileResult,
    SchedulingResult,
)
from turnout.framework.testing import make_endpoint

BODY = b'{"n": 1.50, "model": "m", "messages": [1]}'
PARSERS = (Named(OpenAIParser(), "openai"),)


def taken(path: str = "/v1/chat/completions") -> Intake:
    return take_in(RequestHead(Headers([(":path", path)])), RequestBody(BODY), PARSERS, 0.0)


def state_with(body: bytes | None) -> CycleState:
    state = CycleState()
    if body is not None:
        state.write(REQUEST_BODY, body)
    return state


def decision(model: str) -> SchedulingResult:
    return SchedulingResult("p", {"p": ProfileResult("p", (make_endpoint(),), ())}, model)


def test_the_model_is_replaced_in_the_body_as_the_client_sent_it_and_in_the_request() -> None:
    changed = retargeted(taken(), state_with(BODY), decision("small"), "tree")
    assert changed.body == b'{"n":1.50,"model":"small","messages":[1]}'
    assert (changed.request.model, changed.request.target_model) == ("m", "small")


@pytest.mark.parametrize("model", [pytest.param("", id="none named"), pytest.param("m", id="the same one")])
def test_without_another_model_everything_stays(model: str) -> None:
    intake = taken()
    assert retargeted(intake, state_with(BODY), decision(model), "tree") is intake


def test_a_body_that_is_not_there_cannot_be_rewritten() -> None:
    with pytest.raises(PluginError, match=r"plugin 'tree' failed .* another model, 'small', whose body cannot be"):
        retargeted(taken(), state_with(None), decision("small"), "tree")
