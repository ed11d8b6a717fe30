"""What the director reports about requests, for metrics and logs."""

from typing import Protocol

from turnout.framework import Completion, Endpoint, InferenceRequest, PluginError, Refusal


class RequestObserver(Protocol):
    """Hears of each step once. Implementations neither block nor raise."""

    def scheduled(self, request: InferenceRequest, endpoint: Endpoint, seconds: float) -> None:
        """A cycle chose the endpoint within so many seconds."""
        ...

    def scheduling_failed(self, request: InferenceRequest, seconds: float) -> None:
        """A cycle ended without an endpoint."""
        ...

    def plugin_ran(self, plugin: str, plugin_type: str, extension_point: str, seconds: float) -> None:
        """One call of one plugin took so many seconds."""
        ...

    def dispatched(self, request: InferenceRequest, endpoint: Endpoint, processing_seconds: float) -> None:
        """The request goes to the endpoint; the time is from its last byte to the decision."""
        ...

    def refused(self, request_id: str, model: str, refusal: Refusal) -> None:
        """The client gets an error instead of an endpoint."""
        ...

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        """A plugin raised or broke its contract; what became of the request is reported separately."""
        ...

    def streamed(self, request: InferenceRequest, gap_seconds: float) -> None:
        """Another piece of a streamed response passed, so long after the one before; only where bodies are seen."""
        ...

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        """A dispatched request ended; called exactly once for each ``dispatched``."""
        ...
