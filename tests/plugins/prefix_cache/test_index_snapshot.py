import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.prefix_cache.agreement import Agreement
from turnout.plugins.prefix_cache.index import PrefixIndex
from turnout.plugins.prefix_cache.index_snapshot import IndexSnapshot
from turnout.plugins.prefix_cache.roll_call import RollCall
from turnout.plugins.prefix_cache.snapshot import SnapshotError

A = "default/a"


class Site:
    """An index with its surroundings."""

    def __init__(self) -> None:
        self.index, self.agreement, self.roll_call = PrefixIndex(), Agreement(), RollCall()
        self.snapshot = IndexSnapshot(self.index, self.agreement, self.roll_call)

    def observe(self, queries: float, hits: float, at: float) -> bool:
        return self.agreement.observe(reports(queries, hits, at), at)


def reports(queries: float, hits: float, at: float) -> Endpoint:
    seen = {"prefix_cache_queries": at}
    return make_endpoint(
        "a", metrics=EndpointMetrics(prefix_cache_queries=queries, prefix_cache_hits=hits, observed_at=seen)
    )


@given(chains=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(st.integers(0, 2**64 - 1), unique=True)))
def test_what_is_put_back_is_what_was_there_in_the_same_order(chains: dict[str, list[int]]) -> None:
    before, after = Site(), Site()
    for name, chain in chains.items():
        before.index.add(name, chain, 1_000)

    async def move() -> None:
        for name, content in (await before.snapshot.copy()).items():
            await after.snapshot.restore(name, content)

    asyncio.run(move())
    kept = {name: list(before.index.blocks(name)) for name in chains if before.index.held(name)}
    assert {name: list(after.index.blocks(name)) for name in after.index.endpoints()} == kept


async def test_more_blocks_than_fit_into_a_step_keep_their_order() -> None:
    before, after = Site(), Site()
    before.index.add(A, range(5_001), 10_000)
    await after.snapshot.restore(A, (await before.snapshot.copy())[A])
    assert list(after.index.blocks(A)) == list(range(5_001))


async def test_of_a_large_endpoint_the_most_recently_used_blocks_are_kept() -> None:
    before, after = Site(), Site()
    before.index.add(A, range(60_000), 60_000)
    await after.snapshot.restore(A, (await before.snapshot.copy())[A])
    assert after.index.held(A) == 50_000
    assert after.index.match(range(60_000)) == {A: 50_000}


async def test_an_engine_that_restarted_meanwhile_is_seen_after_the_load() -> None:
    before, after = Site(), Site()
    before.index.add(A, [1, 2], 10)
    before.observe(1000, 500, 1.0)
    await after.snapshot.restore(A, (await before.snapshot.copy())[A])
    assert after.index.match([1, 2]) == {A: 2}
    assert after.observe(10, 0, 2.0)


async def test_what_an_engine_held_that_is_known_to_have_restarted_is_not_loaded() -> None:
    before, after = Site(), Site()
    before.index.add(A, [1, 2], 10)
    before.observe(1000, 500, 1.0)
    after.observe(10, 0, 2.0)
    await after.snapshot.restore(A, (await before.snapshot.copy())[A])
    assert len(after.index) == 0


async def test_an_endpoint_that_is_dropped_during_the_load_stays_dropped() -> None:
    before, after = Site(), Site()
    before.index.add(A, range(10_000), 10_000)
    loading = asyncio.create_task(after.snapshot.restore(A, (await before.snapshot.copy())[A]))
    while A not in after.index:
        await asyncio.sleep(0)
    after.index.remove(A)
    await loading
    assert A not in after.index


async def test_endpoints_that_leave_during_the_copy_are_left_out() -> None:
    site = Site()
    for name in ("a", "b"):
        site.index.add(name, [1], 10)
    copying = asyncio.create_task(site.snapshot.copy())
    await asyncio.sleep(0)
    site.index.remove("b")
    assert set(await copying) == {"a"}


async def test_an_endpoint_that_never_appears_again_is_forgotten() -> None:
    before, after = Site(), Site()
    before.index.add(A, [1], 10)
    await after.snapshot.restore(A, (await before.snapshot.copy())[A])
    after.roll_call.next([make_endpoint("b")], 0.0)
    after.roll_call.next([make_endpoint("b")], 121.0)
    assert after.roll_call.departed() == [A]


@given(content=st.binary(max_size=40))
def test_content_that_makes_no_sense_is_an_error(content: bytes) -> None:
    site = Site()
    try:
        asyncio.run(site.snapshot.restore(A, content))
    except SnapshotError:
        assert len(site.index) == 0


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"", id="empty"), pytest.param(b"\x93\xcb" + bytes(8) + b"\xcb" + bytes(8) + b"\xc4\x01x", id="cut")],
)
async def test_damaged_content_is_refused(content: bytes) -> None:
    with pytest.raises(SnapshotError, match="the content of an endpoint is damaged"):
        await Site().snapshot.restore(A, content)
