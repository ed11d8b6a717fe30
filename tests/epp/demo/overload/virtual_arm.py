"""A run of the scenario on virtual time."""

from collections.abc import Sequence

from epp.demo import virtual_pool
from turnout.epp.demo.overload.engines import SERVERS, SLOTS, TIME_SCALE
from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.demo.timed.answers import Answers


def run(profile: str, requests: Sequence[Arrival]) -> Answers[Arrival]:
    """What becomes of the requests under a profile."""
    servers: virtual_pool.Servers = [(virtual_pool.engine(SLOTS, TIME_SCALE), {})] * SERVERS
    return virtual_pool.run(profile, servers, requests).answers
