"""Gives a request the model that the decision chose for it."""

from dataclasses import replace

from turnout.epp.requests.intake import MAX_MODEL_NAME, Intake
from turnout.framework import (
    REQUEST_BODY,
    CycleState,
    ExtensionPoint,
    PluginError,
    SchedulingResult,
    plugin_boundary,
)


def retargeted(intake: Intake, state: CycleState, result: SchedulingResult, handler: str) -> Intake:
    """The request and its body with the decision's target model; as they are if it names none.

    ``handler`` is the name of the profile handler.

    Raises:
        PluginError: the handler wants another model for a request whose body is not there as a whole or has no model,
            the name is too long, or the parser failed.
    """
    target = result.target_model
    if target in ("", intake.request.target_model):
        return intake
    body, parser = state.get(REQUEST_BODY), intake.parser
    if body is None or parser is None or not intake.parsed.model:
        raise _wrong(handler, f"it gave a request another model, {target!r}, whose body cannot be rewritten")
    if len(target) > MAX_MODEL_NAME:
        raise _wrong(handler, f"its model name has {len(target)} characters; at most {MAX_MODEL_NAME} are allowed")
    with plugin_boundary(parser.name, ExtensionPoint.PARSER):
        rewritten = parser.plugin.rewrite_model(body, target)
    return replace(intake, request=replace(intake.request, target_model=target), body=rewritten)


def _wrong(handler: str, problem: str) -> PluginError:
    return PluginError(handler, ExtensionPoint.PROCESS_RESULTS, problem)
