"""Composition of request observers."""

from turnout.epp.requests.observer import RequestObserver
from turnout.framework import Completion, Endpoint, InferenceRequest, PluginError, Refusal


class Observers:
    """Tells several observers, in order."""

    def __init__(self, *observers: RequestObserver) -> None:
        self._observers = observers

    def scheduled(self, request: InferenceRequest, endpoint: Endpoint, seconds: float) -> None:
        """A cycle chose the endpoint."""
        for observer in self._observers:
            observer.scheduled(request, endpoint, seconds)

    def scheduling_failed(self, request: InferenceRequest, seconds: float) -> None:
        """A cycle ended without an endpoint."""
        for observer in self._observers:
            observer.scheduling_failed(request, seconds)

    def plugin_ran(self, plugin: str, plugin_type: str, extension_point: str, seconds: float) -> None:
        """One call of one plugin."""
        for observer in self._observers:
            observer.plugin_ran(plugin, plugin_type, extension_point, seconds)

    def dispatched(self, request: InferenceRequest, endpoint: Endpoint, processing_seconds: float) -> None:
        """The request goes to the endpoint."""
        for observer in self._observers:
            observer.dispatched(request, endpoint, processing_seconds)

    def refused(self, request_id: str, model: str, refusal: Refusal) -> None:
        """The client gets an error."""
        for observer in self._observers:
            observer.refused(request_id, model, refusal)

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        """A plugin raised or broke its contract."""
        for observer in self._observers:
            observer.plugin_failed(request_id, error)

    def streamed(self, request: InferenceRequest, gap_seconds: float) -> None:
        """Another piece of a streamed response."""
        for observer in self._observers:
            observer.streamed(request, gap_seconds)

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        """A dispatched request ended."""
        for observer in self._observers:
            observer.finished(request, completion)
