"""A run of the scenario on virtual time."""

from collections.abc import Sequence

from epp.demo import virtual_pool
from turnout.epp.demo.servers import TokenCounts
from turnout.epp.demo.slo.arms import ArmOutcome
from turnout.epp.demo.slo.servers import SERVERS, SLOTS
from turnout.epp.demo.slo.workload import Arrival


def run(profile: str, requests: Sequence[Arrival]) -> ArmOutcome:
    """What becomes of the requests under a profile."""
    servers = [(virtual_pool.engine(SLOTS, kind.time_scale), kind.labels) for kind in SERVERS]
    seen = virtual_pool.run(profile, servers, requests, bodies=True)
    tokens = [
        TokenCounts(sum(each.prompt_tokens for each in mine), sum(each.answer_tokens for each in mine))
        for mine in ([each for each in requests if seen.served_by.get(each.number) == place] for place in range(4))
    ]
    return ArmOutcome(seen.answers, tokens)
