"""A plugin from outside: writes down what was predicted of each request, and when the picker saw its first piece."""

import json
from pathlib import Path

from turnout.framework import (
    Completion,
    CycleState,
    InferenceRequest,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS

_NOTE = StateKey[dict[str, float | str | None]]("prediction-note")


class PredictionRecorder:
    """Appends a line of JSON to ``file`` for each request that ended. Times are in seconds from the dispatch."""

    needs_first_piece = True

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._predictions_key = LATENCY_PREDICTIONS.of("")
        self.reads = (self._predictions_key,)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        predicted = state.read(self._predictions_key)[result.endpoint.name]
        state.write(
            _NOTE,
            {
                "id": request.request_id,
                "endpoint": result.endpoint.host_port,
                "in_flight": result.endpoint.in_flight,
                "predicted": predicted.ttft_seconds,
                "sent_at": state.now,
                "first_at": None,
            },
        )

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        note = state.get(_NOTE)
        if note is not None and note["first_at"] is None and chunk.data:
            note["first_at"] = state.now

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        note = state.get(_NOTE)
        if note is not None:
            with self._file.open("a") as file:
                file.write(json.dumps({**note, "status": completion.status}) + "\n")
