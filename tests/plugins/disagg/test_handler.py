from collections.abc import Sequence
from typing import Any

import pytest

from turnout.config import load_pipeline
from turnout.framework import (
    PROMPT,
    CounterReading,
    CycleState,
    Endpoint,
    NoEndpointsError,
    Prompt,
    SchedulingResult,
)
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.disagg.handler import MAX_MODELS, DisaggProfileHandler, StageDeciders, StageProfiles
from turnout.plugins.disagg.keys import DISAGG_DECISION, PEER_ENDPOINT, PEER_STAGE, Decision, ReasonedDecision

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: always-disagg-pd-decider
- type: always-disagg-multimodal-decider
- type: disagg-profile-handler
  parameters: PARAMETERS
- type: prefill-filter
- type: decode-filter
- type: encode-filter
- type: max-score-picker
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: max-score-picker}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: max-score-picker}]
- name: encode
  plugins: [{pluginRef: encode-filter}, {pluginRef: max-score-picker}]
"""
BOTH = "{deciders: {prefill: always-disagg-pd-decider, encode: always-disagg-multimodal-decider}}"


def pool(*roles: str) -> list[Endpoint]:
    return [make_endpoint(role, labels={"llm-d.ai/role": role}) for role in roles]


def schedule(
    parameters: str, endpoints: Sequence[Endpoint], *, prefill: bool = True, encode: bool = True
) -> tuple[SchedulingResult, CycleState]:
    state = CycleState(1.0)
    state.write(PROMPT, Prompt(b"", 100))
    decision: Decision = ReasonedDecision(lambda _: prefill, lambda endpoint: f"by {endpoint.name}")
    state.write(DISAGG_DECISION.of("always-disagg-pd-decider"), decision)
    state.write(DISAGG_DECISION.of("always-disagg-multimodal-decider"), lambda _: encode)
    pipeline = load_pipeline(CONFIG.replace("PARAMETERS", parameters))
    return pipeline.scheduler.schedule(make_request(), state, endpoints, 1.0), state


ALL = ("decode", "prefill", "encode")


@pytest.mark.parametrize(
    ("parameters", "roles", "prefill", "encode", "stages", "reasons"),
    [
        pytest.param(
            BOTH, ALL, True, True, {"decode", "prefill", "encode"},
            ("decode at default/decode", "encode at default/encode", "prefill at default/prefill (by default/decode)"),
            id="three stages",
        ),
        pytest.param(
            BOTH, ALL, False, False, {"decode"},
            ("decode at default/decode", "encode: not needed", "prefill: not needed (by default/decode)"),
            id="the deciders say no",
        ),
        pytest.param(
            BOTH, ("decode", "prefill"), True, True, {"decode", "prefill"},
            None, id="nobody encodes: the engine that decodes does it",
        ),
        pytest.param("{}", ALL, False, False, {"decode", "prefill", "encode"}, None, id="nobody decides: always"),
        pytest.param("{}", ("both",), True, True, {"decode"}, None, id="nobody prefills for itself"),
        pytest.param("{stageOrder: prefill-first}", ("both",), True, True, {"decode"}, None, id="nor the other way"),
        pytest.param(
            "{stageOrder: prefill-first, deciders: {encode: always-disagg-multimodal-decider}}", ("encode", "decode"),
            False, False, {"decode"},
            ("prefill: no endpoint", "encode: not needed", "decode at default/decode"),
            id="prefill first, nobody can, and there is nothing to encode",
        ),
        pytest.param(
            "{stageOrder: prefill-first, deciders: {encode: always-disagg-multimodal-decider}}", ("encode", "decode"),
            False, True, {"decode", "encode"}, None, id="prefill first, nobody can, and there is something to encode",
        ),
        pytest.param(
            "{stageOrder: prefill-first, deciders: {encode: always-disagg-multimodal-decider}}", ALL, False, False,
            {"decode", "prefill"},
            ("prefill at default/prefill", "encode: not needed", "decode at default/decode"), id="prefill first",
        ),
        pytest.param(
            "{stageOrder: prefill-first}", ("decode",), True, True, {"decode"}, None, id="prefill first, and nobody can"
        ),
        pytest.param(
            "{deciderPluginName: always-disagg-pd-decider, encodeDeciderPluginName: always-disagg-multimodal-decider}",
            ALL, False, True, {"decode", "encode"}, None, id="older spellings",
        ),
    ],
)  # fmt: skip
def test_stages_run_where_they_have_endpoints_and_their_deciders_say_so(
    parameters: str,
    roles: Sequence[str],
    prefill: bool,
    encode: bool,
    stages: set[str],
    reasons: tuple[str, ...] | None,
) -> None:
    result, _ = schedule(parameters, pool(*roles), prefill=prefill, encode=encode)
    assert set(result.profiles) == stages
    assert result.primary == "decode"
    if reasons is not None:
        assert result.reasons == reasons


def test_without_anybody_who_decodes_there_is_no_destination_and_nothing_else_is_picked() -> None:
    with pytest.raises(NoEndpointsError):
        schedule(BOTH, pool("prefill", "encode"))


@pytest.mark.parametrize(("order", "peer"), [("decode-first", "decode"), ("prefill-first", "prefill")])
def test_later_stages_know_the_first_one_s_endpoint(order: str, peer: str) -> None:
    _, state = schedule(f"{{stageOrder: {order}}}", pool(*ALL))
    assert state.read(PEER_ENDPOINT.of("")).name == f"default/{peer}"
    assert state.read(PEER_STAGE.of("")) == peer


def test_a_decider_that_failed_costs_its_stage() -> None:
    handler = DisaggProfileHandler(deciders=StageDeciders(prefill="broken"))
    state, request = CycleState(), make_request()
    (decode,) = pool("decode")
    assert handler.pick(request, state, ["decode", "prefill"], {}) == ("decode",)
    result, _ = schedule("{}", [decode])
    assert handler.pick(request, state, ["decode", "prefill"], {"decode": result.profiles["decode"]}) == ()


def test_the_split_is_counted_by_model_up_to_a_bound_and_told_to_the_engine() -> None:
    handler = DisaggProfileHandler()
    split, state = schedule("{}", pool(*ALL))
    headers = handler.pre_request(make_request(model="m"), state, split)
    assert set(headers) == {"x-prefiller-host-port", "x-encoder-hosts-ports"}
    alone, _ = schedule("{}", pool("decode"))
    handler.pre_request(make_request(model="m"), state, alone)
    for number in range(2 * MAX_MODELS):
        handler.pre_request(make_request(model=f"m{number}"), state, alone)
    readings = [reading for reading in handler.readings() if isinstance(reading, CounterReading)]
    found = {(each.labels["model_name"], each.labels["decision_type"]): each.value for each in readings}
    assert found["m", "encode-prefill-decode"] == found["m", "decode-only"] == 1
    assert found["other", "decode-only"] == MAX_MODELS + 1
    assert len({model for model, _ in found}) == MAX_MODELS + 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(
            {"stage_order": "prefill-first", "deciders": StageDeciders(prefill="p")},
            "deciders.prefill must be empty with stage_order prefill-first, got p",
            id="prefill is not decided about when it is first",
        ),
        pytest.param(
            {"profiles": StageProfiles(decode="d"), "decode_profile": "e"},
            "profiles.decode must not be given in two spellings, got d and e",
            id="two spellings",
        ),
        pytest.param(
            {"profiles": StageProfiles(prefill="decode")},
            "profiles must be different for each stage, got decode, decode and encode",
            id="one profile for two stages",
        ),
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DisaggProfileHandler(**wrong)
