"""How much one simulated engine can serve."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import generate_words

# Enough for the batch to be full from the tenth to the last tenth, and for a rate that varies by less than 2%.
REQUESTS = 600


class SizedRequest(Protocol):
    """What of a request decides how long it takes; sizes are in tokens."""

    @property
    def number(self) -> int: ...

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def answer_tokens(self) -> int: ...


def engine_rate(requests: Iterable[SizedRequest], slots: int) -> float:
    """Requests of this mix per second that an engine at the speed of an H100 serves when somebody always waits.

    Found by letting the engine model of the simulated servers serve the first 600 on virtual time, as fast as it can.
    """
    ends = _ends(list(islice(requests, REQUESTS)), slots)
    first, last = len(ends) // 10, len(ends) * 9 // 10
    return (last - first) / (ends[last] - ends[first])


def _ends(requests: Sequence[SizedRequest], slots: int) -> Sequence[float]:
    engine, now = Engine(EngineConfig(max_num_seqs=slots)), 0.0
    for request in requests:
        prompt = generate_words(request.number, request.prompt_tokens)
        engine.submit(GenerationRequest(str(request.number), prompt, generate_words(0, request.answer_tokens)), now)
    ends: list[float] = []
    while (seconds := engine.start_step(now)) is not None:
        now += seconds
        ends += [now] * len(engine.finish_step(now).finished)
    return ends
