import pytest

from turnout.epp.demo import run as demo_run
from turnout.epp.demo.run import GATEWAYS, best_assignments, gateway, measure
from turnout.epp.demo.servers import ChildError
from turnout.epp.demo.workload import WorkloadOptions

SMALL = WorkloadOptions(duration=1.0, conversations_per_second=6.0, system_prompts=2, pause=(0.0, 0.1), turns=(2, 3))


async def test_the_best_assignments_use_caches_like_those_of_the_servers() -> None:
    tries: list[None] = []
    ceiling = await best_assignments(SMALL, lambda: tries.append(None))
    # Twenty strategies, and 300 changes of the best one with and without balance.
    assert len(tries) == 20 + 2 * 300
    assert all(set(tried.assignment) <= {0, 1, 2, 3} for tried in ceiling.tries)
    assert 0.5 < ceiling.best.hit_rate <= ceiling.infinite < 1.0


async def test_the_more_requests_the_fewer_changes_are_tried() -> None:
    tries: list[None] = []
    many = WorkloadOptions(
        duration=10.0,
        conversations_per_second=300.0,
        system_prompt_size=100,
        turns=(2, 2),
        question_size=(20, 20),
    )
    await best_assignments(many, lambda: tries.append(None))
    assert 20 < len(tries) < 20 + 2 * 30


async def test_servers_that_do_not_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_run, "CACHE_BLOCKS", 0)
    with pytest.raises(ChildError, match=r"sim-server did not start: .*num_blocks"):
        async with gateway((), seed=0):
            pass


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
