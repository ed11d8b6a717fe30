"""Which admission a pipeline asks for."""

from collections.abc import Callable
from dataclasses import dataclass

from turnout.config import Pipeline
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.flowcontrol.observer import FlowObserver
from turnout.epp.flowcontrol.shell import Candidates, FlowControl
from turnout.framework import PluginError


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What any admission needs of the process."""

    pool: Candidates
    observer: FlowObserver
    report: Callable[[PluginError], None]
    clock: Callable[[], float]


def admission_for(
    pipeline: Pipeline, around: Surroundings, previous: FlowControl | LegacyAdmission | None = None
) -> FlowControl | LegacyAdmission:
    """Flow control where its feature gate is open, else the admission that lets nobody wait.

    What waits in ``previous`` stays in its queue under the pipeline's settings; where the gate was closed, it goes on.
    """
    settings = pipeline.flow_control
    if settings is not None and isinstance(previous, FlowControl):
        previous.configure(settings)
        return previous
    if isinstance(previous, FlowControl):
        previous.let_all_go()
    if settings is not None:
        return FlowControl(settings, around.pool, around.observer, around.report, around.clock)
    return LegacyAdmission(pipeline.detector, around.pool.candidates, around.report, around.clock)
