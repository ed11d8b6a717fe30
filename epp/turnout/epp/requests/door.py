"""What happens to a request before it may have to wait: who it is, and who hears if it goes no further."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from turnout.framework import (
    Classification,
    Classifier,
    CycleState,
    ExtensionPoint,
    InferenceRequest,
    Named,
    PluginError,
    Refusal,
    RequestRefused,
    plugin_boundary,
)


def classified(
    classifiers: Sequence[Named[Classifier]], request: InferenceRequest, state: CycleState
) -> InferenceRequest | Refusal:
    """The request with what the classifiers found out, in their order; the first refusal ends it.

    Raises:
        PluginError: a classifier failed. Going on without it could give a request a priority that is not its own.
    """
    for named in classifiers:
        with plugin_boundary(named.name, ExtensionPoint.CLASSIFIER):
            found = named.plugin.classify(request, state)
            if isinstance(found, Refusal):
                return found
            request = _with(request, found)
    return request


def tell_refused(
    listeners: Sequence[Named[RequestRefused]],
    request: InferenceRequest,
    state: CycleState,
    refusal: Refusal,
    report: Callable[[str, PluginError], None],
) -> None:
    """Tells every listener; one that fails is reported and keeps no other from hearing."""
    for named in listeners:
        try:
            with plugin_boundary(named.name, ExtensionPoint.REQUEST_REFUSED):
                named.plugin.request_refused(request, state, refusal)
        except PluginError as error:
            report(request.request_id, error)


def _with(request: InferenceRequest, found: Classification) -> InferenceRequest:
    if found == _NOTHING:
        return request
    return replace(
        request,
        priority=request.priority if found.priority is None else found.priority,
        level=request.level if found.level is None else found.level,
        fairness_id=request.fairness_id if found.fairness_id is None else found.fairness_id,
        ttft_target=request.ttft_target if found.ttft_target is None else found.ttft_target,
        tpot_target=request.tpot_target if found.tpot_target is None else found.tpot_target,
    )


_NOTHING = Classification()
