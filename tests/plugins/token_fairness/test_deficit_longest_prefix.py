import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.token_fairness.fairness_meter import FairnessMeter, Step, arrivals, scripts, weights
from plugins.token_fairness.queue_driver import Fairness, Job, QueueDriver, counted
from turnout.framework import PROMPT, FlowHead, Usage
from turnout.framework.testing import check_fairness, check_signatures
from turnout.plugins.token_fairness.deficit_longest_prefix import DeficitLongestPrefixFairnessPolicy
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy

SYSTEM_PROMPT_BYTES = 4096


def system_prompt(tenant: str) -> bytes:
    return f"You work for {tenant}. ".encode().ljust(SYSTEM_PROMPT_BYTES, b".")


def queue(policy: Fairness, tenants: str, each: int) -> QueueDriver:
    """So many requests of each tenant, 1,000 tokens each, that begin alike and end differently."""
    driver = QueueDriver(policy)
    for number in range(each):
        for tenant in tenants:
            ending = f"{tenant}{number}".encode().ljust(256, b"?")
            driver.arrive(tenant, 1000, max_output_tokens=0, data=system_prompt(tenant) + ending)
    return driver


def turns(driver: QueueDriver, count: int) -> str:
    return "".join(job.tenant for _ in range(count) if (job := driver.dispatch()))


def test_a_tenant_goes_on_until_its_quantum_is_used_up() -> None:
    policy = DeficitLongestPrefixFairnessPolicy(quantum=3000)
    assert turns(queue(policy, "abc", 9), 15) == "aaabbbccccccbbb"


def test_a_quantum_counts_by_weight() -> None:
    policy = DeficitLongestPrefixFairnessPolicy(quantum=3000, weights={"b": 2.0})
    assert turns(queue(policy, "abc", 9), 12) == "aaabbbbbbccc"


def test_in_a_round_the_longest_known_prompt_goes_first() -> None:
    driver = QueueDriver(DeficitLongestPrefixFairnessPolicy())
    driver.arrive("x", data=b"x" * 4096)
    driver.dispatch()
    for tenant, common in (("a", 0), ("b", 1024), ("c", 3072), ("d", 2048)):
        driver.arrive(tenant, data=(b"x" * common).ljust(4096, tenant.encode()))
    assert turns(driver, 4) == "cdba"


def test_of_two_prefixes_the_one_with_more_tokens_goes_first() -> None:
    driver = QueueDriver(DeficitLongestPrefixFairnessPolicy())
    driver.arrive("x", data=b"x" * 4096)
    driver.dispatch()
    driver.arrive("a", tokens=100, data=b"x" * 1024)
    driver.arrive("b", tokens=2000, data=(b"x" * 2048).ljust(4096))
    assert turns(driver, 2) == "ba"


def test_charges_are_corrected_and_given_back() -> None:
    policy = DeficitLongestPrefixFairnessPolicy()
    driver = queue(policy, "ab", 1)
    first, second = driver.dispatch(), driver.dispatch()
    assert first is not None
    assert second is not None
    driver.complete(first, Usage(1000, 50))
    driver.refuse(second)
    assert counted(policy, "charged", fairness_id="a") == 1000.0
    assert counted(policy, "corrected", fairness_id="a", direction="added") == 100.0
    assert counted(policy, "corrected", fairness_id="b", direction="given_back") == 1000.0


def test_a_newcomer_begins_with_the_round_and_not_behind_those_who_are_well_in_it() -> None:
    driver = queue(DeficitLongestPrefixFairnessPolicy(quantum=3000), "ab", 9)
    assert turns(driver, 7) == "aaabbbb"
    driver.arrive("c", 2000, max_output_tokens=0)
    driver.arrive("c", 2000, max_output_tokens=0)
    assert turns(driver, 8) == "bbaaacca"


@settings(max_examples=500)
@given(script=scripts(arrivals), shares=weights, quantum=st.sampled_from([1, 100, 700, 5000]))
def test_service_of_two_waiting_tenants_differs_by_two_quanta_two_requests_and_their_own_errors_at_most(
    script: list[Step], shares: dict[str, float], quantum: int
) -> None:
    meter = FairnessMeter(DeficitLongestPrefixFairnessPolicy(quantum, shares), shares)
    meter.play(script)
    assert max((meter.excess(pair, quantum) for pair in meter.gaps), default=0.0) <= 1e-6


def hits(driver: QueueDriver, dispatches: int, cached_prefixes: int) -> float:
    """The share of dispatches whose system prompt is in a cache that holds the latest few."""
    cached: OrderedDict[bytes, None] = OrderedDict()
    found = 0
    for _ in range(dispatches):
        job = driver.dispatch()
        assert job is not None
        prefix = job.item.state.read(PROMPT).data[:SYSTEM_PROMPT_BYTES]
        found += prefix in cached
        cached[prefix] = None
        cached.move_to_end(prefix)
        while len(cached) > cached_prefixes:
            cached.popitem(last=False)
    return found / dispatches


def shuffled(policy: Fairness) -> QueueDriver:
    """Eight tenants with 40 requests each, in random order; the prompts of a tenant begin alike."""
    driver = QueueDriver(policy)
    chance = random.Random(7)
    arrivals = [tenant for tenant in "abcdefgh" for _ in range(40)]
    chance.shuffle(arrivals)
    for tenant in arrivals:
        driver.arrive(tenant, 1088, max_output_tokens=64, data=system_prompt(tenant) + chance.randbytes(256))
    return driver


def test_far_more_prompts_hit_a_small_cache_than_under_token_fairness() -> None:
    fair = shuffled(TokenFairnessPolicy())
    local = shuffled(DeficitLongestPrefixFairnessPolicy(quantum=12_160))
    # 320 requests of 1,216 weighted tokens; a quantum is ten of them.
    shares = hits(fair, 240, cached_prefixes=3), hits(local, 240, cached_prefixes=3)
    assert shares[0] <= 0.1
    assert shares[1] >= 0.85
    got: dict[str, int] = {tenant: 40 - len(local.flows[tenant]) for tenant in "abcdefgh"}
    assert max(got.values()) - min(got.values()) <= 22


@given(lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5000)), min_size=1, max_size=8))
def test_the_policy_keeps_the_contract_of_fairness_policies(lengths: list[tuple[int, int]]) -> None:
    policy = DeficitLongestPrefixFairnessPolicy()
    driver = QueueDriver(policy)
    for number, (length, tokens) in enumerate(lengths):
        for _ in range(length):
            driver.arrive(f"t{number}", tokens, data=b"x" * tokens)
    driver.dispatch()
    flows = [FlowHead(tenant, flow[0].item, len(flow)) for tenant, flow in driver.flows.items()]
    if flows:
        check_fairness(policy, flows, driver.now)
    check_signatures(policy)


@pytest.mark.parametrize("data", [b"", b"\xff\x00" * 3000, b"x" * 5_000_000])
def test_any_bytes_are_a_prompt(data: bytes) -> None:
    driver = QueueDriver(DeficitLongestPrefixFairnessPolicy())
    driver.arrive("a", data=data)
    job: Job | None = driver.dispatch()
    assert job is not None
