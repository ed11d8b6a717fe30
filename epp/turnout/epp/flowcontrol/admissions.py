"""The admission of the process, over all pipelines that it has."""

from collections.abc import Callable

from turnout.config import Pipeline
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.observer import FlowObserver
from turnout.epp.flowcontrol.shell import Candidates, FlowControl
from turnout.epp.flowcontrol.status import QueueStatus, queue_status
from turnout.framework import PluginError


class Admissions:
    """Flow control where the pipeline's feature gate is open, else the admission that lets nobody wait.

    ``current`` is for the director. What waits stays in its queue from one pipeline to the next, under the settings of
    that; where the gate is closed, it goes on.
    """

    def __init__(
        self,
        pool: Candidates,
        observer: FlowObserver,
        report: Callable[[PluginError], None],
        clock: Callable[[], float],
        pipeline: Pipeline,
    ) -> None:
        self._pool = pool
        self._observer = observer
        self._report = report
        self._clock = clock
        self.current = self._made_for(pipeline)

    def configure(self, pipeline: Pipeline) -> None:
        """Decides as the pipeline says from now on."""
        queue, settings = self._queue, pipeline.flow_control
        if queue is not None and settings is not None:
            queue.configure(settings)
            return
        self.current = self._made_for(pipeline)
        if queue is not None:
            queue.let_all_go()

    def wake(self) -> None:
        """The load of the pool has changed."""
        if self._queue is not None:
            self._queue.wake()

    def close(self) -> None:
        """Refuses everything that waits, and whatever would have to wait."""
        if self._queue is not None:
            self._queue.close()

    def limits(self) -> Limits | None:
        """The limits of the queue with what counts against them; None without a queue."""
        return None if self._queue is None else self._queue.controller.limits

    def status(self) -> QueueStatus | None:
        """What waits; None without a queue."""
        return None if self._queue is None else queue_status(self._queue, self._clock())

    def reprioritise(self, request_id: str, priority: int) -> str:
        """Gives a queued request another priority; returns why not, or an empty string."""
        return "flow control is off" if self._queue is None else self._queue.reprioritise(request_id, priority)

    @property
    def _queue(self) -> FlowControl | None:
        return self.current if isinstance(self.current, FlowControl) else None

    def _made_for(self, pipeline: Pipeline) -> FlowControl | LegacyAdmission:
        if pipeline.flow_control is None:
            return LegacyAdmission(pipeline.detector, self._pool.candidates, self._report, self._clock)
        return FlowControl(pipeline.flow_control, self._pool, self._observer, self._report, self._clock)
