"""The simulated servers of the scenario, and how much they can serve."""

from collections.abc import Iterable, Sequence

from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.demo.timed.capacity import engine_rate

SERVERS = 4
# An engine of 16 slots at half the speed of an H100: a first token then takes 60 ms at the median and 200 ms at the
# 99th percentile, beside which the few milliseconds that Python and a busy machine add are small.
SLOTS = 16
TIME_SCALE = 2.0


def server_arguments(seed: int) -> Sequence[Sequence[str]]:
    """What each `turnout sim-server` is told."""
    same = ("--max-num-seqs", str(SLOTS), "--time-scale", str(TIME_SCALE))
    return [("--seed", str(seed + number), *same) for number in range(SERVERS)]


def capacity(requests: Iterable[Arrival]) -> float:
    """Requests of this mix per second that the servers serve together when somebody always waits at each."""
    return SERVERS / TIME_SCALE * engine_rate(requests, SLOTS)
