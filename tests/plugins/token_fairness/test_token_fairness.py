import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.token_fairness.fairness_meter import (
    Arrive,
    Dispatch,
    End,
    FairnessMeter,
    Step,
    arrivals,
    scripts,
    unmeasured_arrivals,
    weights,
)
from plugins.token_fairness.queue_driver import ENDPOINT, QueueDriver, counted
from turnout.framework import Completion, FlowHead, PluginName, Termination, Usage
from turnout.framework.testing import check_fairness, check_signatures
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy

ROUNDING = 1e-6


def turns(driver: QueueDriver, count: int) -> str:
    """The tenants of the next dispatches."""
    return "".join(job.tenant for _ in range(count) if (job := driver.dispatch()))


def queue(policy: TokenFairnessPolicy, **tokens: int) -> QueueDriver:
    """Ten requests of each tenant, with so many prompt tokens and no output."""
    driver = QueueDriver(policy)
    for tenant, each in tokens.items():
        for _ in range(10):
            driver.arrive(tenant, each, max_output_tokens=0)
    return driver


def test_tenants_take_turns_by_tokens_and_not_by_requests() -> None:
    assert turns(queue(TokenFairnessPolicy(), a=100, b=300), 8) == "abaaabaa"


def test_a_tenant_with_twice_the_weight_gets_twice_the_tokens() -> None:
    policy = TokenFairnessPolicy(weights={"a": 2.0}, default_weight=1.0)
    assert turns(queue(policy, a=100, b=100), 9) == "abaabaaba"


def test_output_counts_by_its_weight() -> None:
    driver = QueueDriver(TokenFairnessPolicy(output_weight=3.0))
    for _ in range(5):
        driver.arrive("a", 100, max_output_tokens=100)
        driver.arrive("b", 400, max_output_tokens=0)
    assert turns(driver, 6) == "ababab"


def test_a_tenant_that_was_idle_begins_where_the_others_are() -> None:
    driver = queue(TokenFairnessPolicy(), a=100, b=100)
    assert turns(driver, 8) == "abababab"
    for _ in range(4):
        driver.arrive("c", 100, max_output_tokens=0)
    assert turns(driver, 6) == "cabcab"


def test_a_tenant_that_returns_has_saved_nothing() -> None:
    driver = QueueDriver(TokenFairnessPolicy())
    driver.arrive("b", 100, max_output_tokens=0)
    assert turns(driver, 1) == "b"
    for _ in range(20):
        driver.arrive("a", 100, max_output_tokens=0)
    assert turns(driver, 10) == "a" * 10
    for _ in range(5):
        driver.arrive("b", 100, max_output_tokens=0)
    assert turns(driver, 6) == "bababa"


def test_a_tenant_that_was_charged_too_little_waits_longer_from_its_next_head_on() -> None:
    driver = queue(TokenFairnessPolicy(), a=100, b=100)
    first = driver.dispatch()
    assert first is not None
    assert first.tenant == "a"
    driver.complete(first, Usage(100, 150))
    assert turns(driver, 7) == "babbbba"


def test_a_tenant_that_was_charged_too_much_catches_up() -> None:
    driver = QueueDriver(TokenFairnessPolicy())
    for _ in range(10):
        driver.arrive("a", 100, max_output_tokens=200)
        driver.arrive("b", 100, max_output_tokens=0)
    first = driver.dispatch()
    assert first is not None
    assert turns(driver, 5) == "bbbbb"
    driver.complete(first, Usage(100, 0))
    # The tag of a holds until its head goes; then four requests of 100 tokens make up for what b got meanwhile.
    assert turns(driver, 6) == "aaaaab"


@pytest.mark.parametrize(
    ("usage", "added", "given_back"),
    [
        pytest.param(Usage(100, 50), 0.0, 0.0, id="as estimated"),
        pytest.param(Usage(100, 80), 60.0, 0.0, id="a longer answer"),
        pytest.param(Usage(90, 20), 0.0, 70.0, id="a shorter prompt and answer"),
        pytest.param(None, 0.0, 0.0, id="no usage: the estimate stands"),
    ],
)
def test_a_charge_is_corrected_once(usage: Usage | None, added: float, given_back: float) -> None:
    policy = TokenFairnessPolicy()
    driver = QueueDriver(policy)
    job = driver.arrive("a", 100, max_output_tokens=50)
    driver.dispatch()
    for _ in range(2):
        driver.complete(job, usage)
    driver.refuse(job)
    assert counted(policy, "charged", fairness_id="a") == 200.0
    assert counted(policy, "corrected", fairness_id="a", direction="added") == added
    assert counted(policy, "corrected", fairness_id="a", direction="given_back") == given_back


def test_a_request_that_was_refused_after_its_dispatch_gets_all_back() -> None:
    policy = TokenFairnessPolicy()
    driver = queue(policy, a=100, b=100)
    first = driver.dispatch()
    assert first is not None
    driver.refuse(first)
    driver.complete(first, Usage(1000, 1000))
    assert turns(driver, 4) == "baab"
    assert counted(policy, "corrected", fairness_id="a", direction="given_back") == 100.0


def test_a_request_that_never_left_the_queue_costs_nothing() -> None:
    policy = TokenFairnessPolicy()
    driver = queue(policy, a=100, b=100)
    driver.withdraw(driver.flows["a"][0])
    assert counted(policy, "charged", fairness_id="a") == 0.0
    assert turns(driver, 4) == "abab"


def test_two_policies_keep_their_charges_apart() -> None:
    first, second = TokenFairnessPolicy(name=PluginName("first")), TokenFairnessPolicy(name=PluginName("second"))
    driver = QueueDriver(first)
    job = driver.arrive("a", 100, max_output_tokens=0)
    driver.dispatch()
    second.response_complete(
        job.item.request, job.item.state, Completion(ENDPOINT, Termination.NATURAL, usage=Usage(500, 0))
    )
    assert counted(second, "corrected", fairness_id="other", direction="added") == 0.0
    driver.complete(job, Usage(300, 0))
    assert counted(first, "corrected", fairness_id="a", direction="added") == 200.0


def test_bodies_pass_for_the_usage_in_them_unless_that_is_switched_off() -> None:
    assert TokenFairnessPolicy().needs_response_body
    assert not TokenFairnessPolicy(read_usage=False).needs_response_body


@given(lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5000)), min_size=1, max_size=8))
def test_the_policy_keeps_the_contract_of_fairness_policies(lengths: list[tuple[int, int]]) -> None:
    policy = TokenFairnessPolicy()
    driver = QueueDriver(policy)
    for number, (length, tokens) in enumerate(lengths):
        for _ in range(length):
            driver.arrive(f"t{number}", tokens, data=b"x" * tokens)
    driver.dispatch()
    flows = [FlowHead(tenant, flow[0].item, len(flow)) for tenant, flow in driver.flows.items()]
    if flows:
        check_fairness(policy, flows, driver.now)
    check_signatures(policy)


@settings(max_examples=300)
@given(script=scripts(unmeasured_arrivals), shares=weights)
def test_charged_cost_of_two_waiting_tenants_differs_by_two_requests_at_most(
    script: list[Step], shares: dict[str, float]
) -> None:
    meter = FairnessMeter(TokenFairnessPolicy(weights=shares), shares)
    meter.play(script)
    assert {tenant: errors.width for tenant, errors in meter.errors.items()} == {"f": 0.0, "g": 0.0, "h": 0.0}
    assert max((meter.excess(pair) for pair in meter.gaps), default=0.0) <= ROUNDING


@settings(max_examples=500)
@given(script=scripts(arrivals), shares=weights)
def test_real_service_of_two_waiting_tenants_differs_by_that_and_their_own_errors_at_most(
    script: list[Step], shares: dict[str, float]
) -> None:
    meter = FairnessMeter(TokenFairnessPolicy(weights=shares), shares)
    meter.play(script)
    assert max((meter.excess(pair) for pair in meter.gaps), default=0.0) <= ROUNDING


def test_a_tenant_whose_estimates_are_always_too_high_loses_nothing_in_the_long_run() -> None:
    meter = FairnessMeter(TokenFairnessPolicy(), {"f": 1.0, "g": 1.0})
    meter.play(late_ends(Arrive("f", 1000, 0, Usage(100, 0)), Arrive("g", 100, 0, Usage(100, 0))))
    # 32 requests in flight, each estimated 900 tokens too high at most.
    assert meter.errors["f"].width <= 28_800.0
    assert meter.gaps[("f", "g")] <= 200.0 + meter.errors["f"].width
    assert meter.service["f"] > 0.8 * meter.service["g"]


def late_ends(*kinds: Arrive) -> list[Step]:
    """Two thousand requests of each kind wait; each ends 32 dispatches after its own."""
    script: list[Step] = [kind for _ in range(2000) for kind in kinds]
    script += [Dispatch()] * 32
    for _ in range(1900):
        script += [End(0), Dispatch()]
    return script
