import pytest

from turnout.epp.demo.run import GATEWAYS, free_ports, measure
from turnout.epp.demo.workload import WorkloadOptions

SMALL = WorkloadOptions(duration=1.0, conversations_per_second=6.0, system_prompts=2, pause=(0.0, 0.1), turns=(2, 3))


def test_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5


@pytest.mark.integration
@pytest.mark.parametrize("name", list(GATEWAYS))
async def test_a_run_measures_a_gateway_and_explains_its_decisions(name: str) -> None:
    answers: list[None] = []
    run = await measure(GATEWAYS[name], SMALL, lambda: answers.append(None))
    assert run.report.requests == len(answers) > 4
    assert (run.report.errors, run.errors) == (0, {})
    assert sum(run.report.requests_per_endpoint.values()) == run.report.requests
    assert 0.0 < run.report.prefix_hit_rate < 1.0
    assert run.report.ttft_p50_ms > 0
    assert (run.decision is not None) == (name == "turnout")
