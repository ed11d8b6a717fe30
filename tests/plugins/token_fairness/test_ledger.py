import pytest

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    FlowHead,
    InferenceRequest,
    PluginName,
    Prompt,
    QueuedRequest,
    Termination,
    Usage,
)
from turnout.framework.testing import make_endpoint
from turnout.plugins.token_fairness.ledger import Ledger
from turnout.plugins.token_fairness.parameters import CostParameters

NAME = PluginName("mine")
NO_OUTPUT = CostParameters(expected_output_tokens=0)


def item_of(tenant: str, tokens: int = 100, now: float = 0.0) -> QueuedRequest:
    state = CycleState(now)
    state.write(PROMPT, Prompt(b"", tokens))
    return QueuedRequest(InferenceRequest("r", fairness_id=tenant), now, state=state)


def tag(ledger: Ledger, tenant: str, priority: int = 0, now: float = 99.0) -> float:
    """Where a tenant stands that has nothing waiting."""
    return ledger.tag(FlowHead(tenant, item_of(tenant, now=now), 1, priority), now)


def dispatched(ledger: Ledger, tenant: str, tokens: int = 100, priority: int = 0) -> CycleState:
    item = item_of(tenant, tokens)
    ledger.dispatched(item, priority, 0.0)
    return item.state


def completed(ledger: Ledger, state: CycleState, usage: Usage | None) -> None:
    ledger.completed(state, Completion(make_endpoint(), Termination.NATURAL, usage=usage))


def test_each_priority_has_counters_of_its_own() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    dispatched(ledger, "a", priority=1)
    dispatched(ledger, "a", tokens=7, priority=2)
    assert [tag(ledger, "a", priority) for priority in (1, 2, 3)] == [100.0, 7.0, 0.0]


def test_a_charge_is_corrected_in_the_band_in_which_it_was_made() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    state = dispatched(ledger, "a", priority=1)
    dispatched(ledger, "a", priority=2)
    completed(ledger, state, Usage(130, 0))
    assert [tag(ledger, "a", priority) for priority in (1, 2)] == [130.0, 100.0]


def test_weights_divide_charges_and_corrections() -> None:
    ledger = Ledger(CostParameters({"a": 4.0}, 0.5, expected_output_tokens=0), NAME)
    for tenant in ("a", "b"):
        completed(ledger, dispatched(ledger, tenant), Usage(100, 10))
    assert [tag(ledger, tenant) for tenant in "ab"] == [30.0, 240.0]


def test_a_request_without_usage_is_over_all_the_same() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    completed(ledger, dispatched(ledger, "a"), None)
    for now in (1.0, 2.0, 3.0):
        tag(ledger, "b", now=now)
        completed(ledger, dispatched(ledger, "b"), None)
    assert set(ledger._bands[0].tenants) == {"b"}


@pytest.mark.parametrize(
    ("length", "tag_of_a"),
    [
        pytest.param(1, 200.0, id="it comes to an empty flow: the tenant begins where the others are"),
        pytest.param(2, 20.0, id="others of the flow have waited: what came back meanwhile is the tenant's"),
    ],
)
def test_a_head_that_has_just_come_may_have_others_behind_it(length: int, tag_of_a: float) -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    state = dispatched(ledger, "a", 300)
    ledger.tag(FlowHead("a", item_of("a", now=-1.0), 1), 0.0)
    for now in (1.0, 2.0, 3.0):
        tag(ledger, "b", now=now)
        completed(ledger, dispatched(ledger, "b"), None)
    completed(ledger, state, Usage(20, 0))
    assert ledger.tag(FlowHead("a", item_of("a", now=9.0), length), 9.0) == tag_of_a


def test_a_request_that_is_dispatched_once_more_is_charged_once() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    item = item_of("a")
    for _ in range(3):
        ledger.dispatched(item, 0, 0.0)
    assert tag(ledger, "a") == 100.0


def test_a_request_without_a_prompt_costs_a_token() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    ledger.dispatched(QueuedRequest(InferenceRequest("r", fairness_id="a"), 0.0), 0, 0.0)
    assert tag(ledger, "a") == 1.0


def test_the_end_of_a_request_that_was_never_charged_is_nothing() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    completed(ledger, CycleState(), Usage(100, 100))
    ledger.given_up(CycleState())
    assert tag(ledger, "default-flow") == 0.0


def test_of_an_id_the_first_256_characters_count() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    dispatched(ledger, "x" * 256 + "a" * 60_000)
    assert tag(ledger, "x" * 256 + "b") == 100.0


def test_tenants_are_remembered_up_to_a_number_over_all_bands() -> None:
    ledger = Ledger(CostParameters(max_tenants=10, expected_output_tokens=0), NAME)
    for number in range(100):
        completed(ledger, dispatched(ledger, f"t{number}", 100 + number, number % 2), None)
    for priority in (0, 1):
        newest = [tag(ledger, f"t{number}", priority) for number in range(priority, 100, 2)]
        assert newest == sorted(newest)
    assert len({tag(ledger, f"t{number}", number % 2) for number in range(100)}) <= 12


def test_of_more_than_64_bands_the_oldest_begins_again_above_all_that_it_had() -> None:
    ledger = Ledger(NO_OUTPUT, NAME)
    dispatched(ledger, "a", 700, priority=-2)
    dispatched(ledger, "a", 500, priority=-1)
    for priority in range(63):
        dispatched(ledger, "a", 100, priority)
        dispatched(ledger, "c", 1, priority=-2)
    assert tag(ledger, "b", priority=-1) == 500.0
    assert tag(ledger, "b", priority=99) == 500.0
    assert tag(ledger, "b", priority=5) == 0.0
    assert tag(ledger, "a", priority=-2) == 700.0
