import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.requests.fakes import CHAT, House
from plugins.generated import endpoint_lists
from turnout.config import load_pipeline, shipped_profiles
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.framework import Endpoint, Headers, PluginName
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.burst import BalanceBy, BurstPrefixCacheProducer
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

A, B, C = (make_endpoint(name) for name in "abc")
POOL = (A, B, C)
KEY = PREFIX_MATCHES.of("burst-prefix-cache-producer")
BLOCK = 256  # bytes of 64 tokens


def text(blocks: int, letter: str = "x") -> str:
    return letter * (blocks * BLOCK)


def full_at(
    size: int,
    *,
    max_per_replica: int = -1,
    min_colocate_blocks: int = 0,
    max_prefix_tokens_to_match: int = 0,
    balance_by: BalanceBy = "requests",
) -> BurstPrefixCacheProducer:
    """A producer whose window is too long to wait for, so that only a full batch goes."""
    return BurstPrefixCacheProducer(
        10_000,
        max_per_replica,
        max_prefix_tokens_to_match=max_prefix_tokens_to_match,
        min_colocate_blocks=min_colocate_blocks,
        max_batch_size=size,
        balance_by=balance_by,
    )


async def match(
    producer: BurstPrefixCacheProducer,
    prompt: str | None,
    endpoints: Sequence[Endpoint] = POOL,
    *,
    model: str = "m",
) -> PrefixMatches:
    state = make_state(prompt)
    await producer.produce(make_request(model=model), state, endpoints)
    return state.read(KEY)


async def together(
    producer: BurstPrefixCacheProducer, *prompts: str, endpoints: Sequence[Endpoint] = POOL
) -> list[PrefixMatches]:
    """What requests that arrive at the same time get."""
    async with asyncio.timeout(5.0):
        return await asyncio.gather(*(match(producer, prompt, endpoints) for prompt in prompts))


async def goes_to(producer: BurstPrefixCacheProducer, *prompts: str, endpoints: Sequence[Endpoint] = POOL) -> list[str]:
    """The short names of where they go; empty for those without a match."""
    found = await together(producer, *prompts, endpoints=endpoints)
    return ["".join(name[-1] for name in matches.blocks) for matches in found]


async def test_requests_with_one_prompt_match_at_one_endpoint() -> None:
    found = await together(full_at(3), text(4), text(2), text(4))
    (name,) = found[0].blocks
    assert found == [PrefixMatches({name: 4}, 4, 64), PrefixMatches({}, 2, 64), PrefixMatches({name: 4}, 4, 64)]


async def test_a_window_ends_a_batch_that_is_not_full() -> None:
    producer = BurstPrefixCacheProducer(window_duration_ms=1)
    first, second, other = await goes_to(producer, text(1), text(1), text(1, "y"))
    assert first == second != ""
    assert other == ""
    assert producer._batch is None


async def test_a_full_batch_goes_at_once_and_the_next_one_begins() -> None:
    producer = full_at(2)
    assert len(set(await goes_to(producer, text(1), text(1), text(1, "y"), text(1, "y")))) == 2
    assert producer._batch is None


async def test_a_batch_without_a_bound_waits_for_its_window() -> None:
    producer = BurstPrefixCacheProducer(window_duration_ms=1, max_batch_size=-1)
    assert len(set(await goes_to(producer, *[text(1)] * 50))) == 1


async def test_bursts_one_after_the_other_take_turns() -> None:
    producer = full_at(2)
    assert [(await goes_to(producer, text(1), text(1)))[0] for _ in range(4)] == ["b", "c", "a", "b"]


async def test_endpoints_with_fewer_requests_in_flight_come_first() -> None:
    busy = [make_endpoint("a", in_flight=2), make_endpoint("b", in_flight=1), make_endpoint("c", in_flight=3)]
    for _ in range(3):
        prompts = [text(1, letter) for letter in "xxyyzz"]
        assert await goes_to(full_at(6), *prompts, endpoints=busy) == ["b", "b", "a", "a", "c", "c"]


async def test_a_request_without_a_prompt_or_without_endpoints_does_not_wait() -> None:
    producer = full_at(2)
    async with asyncio.timeout(5.0):
        assert await match(producer, None) == PrefixMatches({}, 0, 64)
        assert await match(producer, "") == PrefixMatches({}, 0, 64)
        assert await match(producer, text(1), []) == PrefixMatches({}, 1, 64)


async def test_prompts_of_two_models_are_different() -> None:
    producer = full_at(2)
    async with asyncio.timeout(5.0):
        found = await asyncio.gather(match(producer, text(1)), match(producer, text(1), model="other"))
    assert [matches.blocks for matches in found] == [{}, {}]


async def test_each_request_goes_to_an_endpoint_that_it_may_go_to() -> None:
    producer = full_at(4)
    async with asyncio.timeout(5.0):
        found = await asyncio.gather(*(match(producer, text(1), [end]) for end in (A, B, A, B)))
    assert [list(matches.blocks) for matches in found] == [["default/a"], ["default/b"], ["default/a"], ["default/b"]]


@pytest.mark.parametrize(
    ("producer", "expected"),
    [
        pytest.param(full_at(4), [1, 1, 1, 1], id="one prompt, one endpoint"),
        pytest.param(full_at(4, max_per_replica=2), [2, 2, 2, 2], id="two requests of it at each"),
        pytest.param(full_at(4, max_per_replica=1), [3, 3, 3, 3], id="more than there are endpoints for"),
    ],
)
async def test_a_prompt_spreads_over_as_many_endpoints_as_its_limit_asks_for(
    producer: BurstPrefixCacheProducer, expected: list[int]
) -> None:
    names = {name for name in await goes_to(producer, *[text(1)] * 4) if name}
    assert [len(names)] * 4 == expected


@pytest.mark.parametrize(
    ("colocate", "same"), [pytest.param(2, True, id="enough blocks"), pytest.param(3, False, id="too few blocks")]
)
async def test_prompts_that_share_enough_blocks_go_together(colocate: int, same: bool) -> None:
    first, second = await goes_to(full_at(2, min_colocate_blocks=colocate), text(2) + "y", text(2) + "z")
    assert (first == second != "") is same


async def test_only_the_beginning_of_a_prompt_is_looked_at() -> None:
    producer = full_at(2, max_prefix_tokens_to_match=130)
    first, second = await together(producer, text(2) + "y", text(2) + "z")
    assert first == second
    assert (first.total_blocks, len(first.blocks)) == (2, 1)


@pytest.mark.parametrize(
    ("balance_by", "beside_the_long_one"),
    [
        pytest.param("requests", True, id="requests: two long ones are fewer than three short ones"),
        pytest.param("tokens", False, id="tokens: a long prompt is more than two short ones"),
    ],
)
async def test_what_is_balanced_can_be_chosen(balance_by: BalanceBy, beside_the_long_one: bool) -> None:
    prompts = [text(8), text(8), *[text(1, "y")] * 3, *[text(1, "z")] * 2]
    long, _, three, _, _, two, _ = await goes_to(full_at(7, balance_by=balance_by), *prompts, endpoints=[A, B])
    assert long != three
    assert (two == long) is beside_the_long_one


async def test_the_shipped_profile_sends_a_burst_to_one_endpoint() -> None:
    profile = load_pipeline(shipped_profiles().joinpath("bursts.yaml").read_text())
    house = House(names=["a", "b", "c", "d"], changes=lambda _: profile)
    head = RequestHead(Headers([(":path", "/v1/chat/completions")]))
    sent = await asyncio.gather(*(house.director.route(head, RequestBody(CHAT)) for _ in range(8)))
    assert house.reports.failures == []
    assert len({outcome.routed.destination for outcome in sent if isinstance(outcome, Dispatch)}) == 1
    assert sorted(endpoint.in_flight for endpoint in house.store.snapshot()) == [0, 0, 0, 8]


# --- requests that are given up --------------------------------------------------------------------------


async def started(producer: BurstPrefixCacheProducer, prompt: str) -> "asyncio.Task[PrefixMatches]":
    """A request that waits in the current batch."""
    before = len(producer._batch.waiting) if producer._batch else 0
    task = asyncio.create_task(match(producer, prompt))
    while producer._batch is None or len(producer._batch.waiting) == before:
        await asyncio.sleep(0)
    return task


async def given_up(task: "asyncio.Task[PrefixMatches]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_that_is_given_up_leaves_its_batch() -> None:
    producer = full_at(3)
    leaving, staying = await started(producer, text(1)), await started(producer, text(1))
    await given_up(leaving)
    assert await goes_to(producer, text(1, "y"), text(1)) == ["", next(iter((await staying).blocks))[-1]]


async def test_the_last_one_to_leave_closes_the_batch() -> None:
    producer = full_at(2)
    leaving = await started(producer, text(1))
    batch = producer._batch
    assert batch is not None
    await given_up(leaving)
    assert producer._batch is None
    assert batch.closing.cancelled()
    assert len(set(await goes_to(producer, text(1), text(1)))) == 1


async def test_a_request_whose_time_is_up_leaves_its_batch() -> None:
    producer = full_at(2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0):
            await match(producer, text(1))
    assert producer._batch is None


async def test_a_request_that_is_given_up_as_its_batch_goes_costs_the_others_nothing() -> None:
    producer = full_at(3)
    leaving, staying = await started(producer, text(1)), await started(producer, text(1))
    leaving.cancel()
    last = await match(producer, text(1))
    assert last == await staying
    assert len(last.blocks) == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_the_last_one_may_be_given_up_as_its_batch_goes() -> None:
    producer = full_at(2)
    leaving = await started(producer, text(1))
    leaving.cancel()
    assert (await match(producer, text(1))).blocks == {}
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert producer._batch is None


async def test_the_window_of_a_full_batch_does_not_end_the_next_one() -> None:
    producer = full_at(2)
    waiting = await started(producer, text(1))
    batch = producer._batch
    assert batch is not None
    await match(producer, text(1))
    await waiting
    assert batch.closing.cancelled()


def test_the_time_limit_covers_the_window() -> None:
    assert BurstPrefixCacheProducer().time_limit_seconds == pytest.approx(0.4)
    assert BurstPrefixCacheProducer(window_duration_ms=10_000).time_limit_seconds == pytest.approx(10.3)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        pytest.param("window_duration_ms", 0, r"window_duration_ms must be within \[1, 10000\], got 0", id="no window"),
        pytest.param(
            "window_duration_ms", 10_001, r"window_duration_ms must be within \[1, 10000\], got 10001", id="too long"
        ),
        pytest.param("max_per_replica", 0, "max_per_replica must be -1 or at least 1, got 0", id="none at each"),
        pytest.param("max_per_replica", -2, "max_per_replica must be -1 or at least 1, got -2", id="less than none"),
        pytest.param("block_size_tokens", 0, "block_size_tokens must be at least 1, got 0", id="no block"),
        pytest.param(
            "max_prefix_tokens_to_match", -1, "max_prefix_tokens_to_match must be at least 0, got -1", id="negative"
        ),
        pytest.param(
            "max_prefix_tokens_to_match",
            63,
            r"max_prefix_tokens_to_match must be 0 or at least block_size_tokens \(64\), got 63",
            id="less than a block",
        ),
        pytest.param("min_colocate_blocks", -1, "min_colocate_blocks must be at least 0, got -1", id="few blocks"),
        pytest.param("max_batch_size", 0, "max_batch_size must be -1 or at least 1, got 0", id="no batch"),
    ],
)
def test_parameters_out_of_range_are_refused(parameter: str, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BurstPrefixCacheProducer(**{parameter: value})  # type: ignore[arg-type]  # parameters by name


@given(endpoints=endpoint_lists(), prompt=st.text(max_size=600), block_size=st.integers(1, 64))
def test_the_producer_keeps_its_contract_under_any_name(
    endpoints: list[Endpoint], prompt: str, block_size: int
) -> None:
    producer = BurstPrefixCacheProducer(1, block_size_tokens=block_size, name=PluginName("mine"))
    state = check_producer(producer, make_request(), make_state(prompt), endpoints)
    blocks = -(-len(prompt.encode()) // (block_size * 4))
    assert state.read(PREFIX_MATCHES.of("mine")) == PrefixMatches({}, blocks, block_size)
    assert producer._batch is None
