"""The metrics of one combination of request labels, resolved once and then addressed without label lookups."""

from turnout.epp.observe.families import Families
from turnout.framework import Completion, Histogram, InferenceRequest, Termination, Usage

UPSTREAM_ERROR = "ModelServerError"
_BROKEN_OFF = {
    Termination.CLIENT_DISCONNECT: "ClientDisconnect",
    Termination.EVICTED: "Evicted",
    Termination.ERROR: UPSTREAM_ERROR,
    Termination.LOST: UPSTREAM_ERROR,
}


class _Children(dict[str, Histogram]):
    """Histograms by stem; one comes into being with its first observation, so that a family never used is free."""

    def __init__(self, families: Families, labels: tuple[str, ...]) -> None:
        super().__init__()
        self._families = families
        self._labels = labels

    def __missing__(self, stem: str) -> Histogram:
        child = self[stem] = self._families.histograms[stem].child(*self._labels)
        return child


class RequestSeries:
    """Counts the requests that share model, target model, fairness id and priority."""

    __slots__ = ("_errors", "_families", "_histograms", "_labels", "_running", "_total")

    def __init__(self, families: Families, labels: tuple[str, ...]) -> None:
        self._families = families
        self._labels = labels
        self._total = families.counters["request_total"].child(*labels)
        self._running = families.gauges["request_running"].child(*labels)
        self._errors = families.counters["request_error_total"]
        self._histograms = _Children(families, labels)

    def dispatched(self, request: InferenceRequest) -> None:
        """A request goes to an endpoint."""
        self._total.value += 1
        self._running.value += 1
        self._histograms["request_size_bytes"].observe(request.size_bytes)

    def failed(self, code: str) -> None:
        """A request was refused, failed or broken off; codes are few."""
        self._errors.child(*self._labels, code).value += 1

    def streamed(self, gap_seconds: float) -> None:
        """A piece of a streamed response followed another; engines send a token in each."""
        self._histograms["request_streaming_itl_seconds"].observe(gap_seconds)

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        """A dispatched request ended."""
        self._running.value -= 1
        code = _error_code(completion)
        if code:
            self.failed(code)
        if completion.cause is Termination.NATURAL:
            self._completed(completion)
        if completion.first_byte_seconds is not None and not code:
            streaming = "true" if request.stream else "false"
            family = self._families.histograms["request_ttft_seconds"]
            family.child(*self._labels, streaming).observe(completion.first_byte_seconds)
        if completion.usage is not None:
            self._used(completion.usage)
            self._paced(request, completion, completion.usage.completion_tokens)

    def _completed(self, completion: Completion) -> None:
        self._histograms["response_size_bytes"].observe(completion.response_bytes)
        if completion.duration_seconds is not None:
            self._histograms["request_duration_seconds"].observe(completion.duration_seconds)

    def _used(self, usage: Usage) -> None:
        self._histograms["request_input_tokens"].observe(usage.prompt_tokens)
        self._histograms["request_output_tokens"].observe(usage.completion_tokens)
        if usage.cached_tokens is not None:
            self._histograms["request_cached_tokens"].observe(usage.cached_tokens)

    def _paced(self, request: InferenceRequest, completion: Completion, tokens: int) -> None:
        duration, first_byte = completion.duration_seconds, completion.first_byte_seconds
        if duration is None or tokens < 1:
            return
        self._histograms["request_ntpot_seconds"].observe(duration / tokens)
        if request.stream and first_byte is not None and tokens > 1:
            self._histograms["request_streaming_tpot_seconds"].observe((duration - first_byte) / (tokens - 1))


def _error_code(completion: Completion) -> str:
    if completion.status is not None and completion.status >= 400:
        return UPSTREAM_ERROR
    return _BROKEN_OFF.get(completion.cause, "")
