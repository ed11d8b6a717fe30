"""The simulated servers of the scenario, and how much they can serve."""

from collections.abc import Iterable, Sequence
from itertools import islice

from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import generate_words

SERVERS = 4
# An engine of 16 slots at half the speed of an H100: a first token then takes 60 ms at the median and 200 ms at the
# 99th percentile, beside which the few milliseconds that Python and a busy machine add are small.
SLOTS = 16
TIME_SCALE = 2.0

# Enough for the batch to be full from the tenth to the last tenth, and for a rate that varies by less than 2%.
CAPACITY_REQUESTS = 600


def server_arguments(seed: int) -> Sequence[Sequence[str]]:
    """What each `turnout sim-server` is told."""
    same = ("--max-num-seqs", str(SLOTS), "--time-scale", str(TIME_SCALE))
    return [("--seed", str(seed + number), *same) for number in range(SERVERS)]


def capacity(requests: Iterable[Arrival]) -> float:
    """Requests of this mix per second that the servers serve together when somebody always waits at each.

    Found by letting the servers' own engine model serve the first 600 on virtual time, as fast as it can.
    """
    ends = _ends(list(islice(requests, CAPACITY_REQUESTS)))
    first, last = len(ends) // 10, len(ends) * 9 // 10
    return SERVERS / TIME_SCALE * (last - first) / (ends[last] - ends[first])


def _ends(requests: Sequence[Arrival]) -> Sequence[float]:
    engine, now = Engine(EngineConfig(max_num_seqs=SLOTS)), 0.0
    for request in requests:
        prompt = generate_words(request.number, request.prompt_tokens)
        engine.submit(GenerationRequest(str(request.number), prompt, generate_words(0, request.answer_tokens)), now)
    ends: list[float] = []
    while (seconds := engine.start_step(now)) is not None:
        now += seconds
        ends += [now] * len(engine.finish_step(now).finished)
    return ends
