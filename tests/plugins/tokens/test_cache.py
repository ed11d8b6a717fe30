from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.tokens.cache import ENTRY_BYTES, BytesLRU


def test_the_value_used_least_recently_leaves_first() -> None:
    cache = BytesLRU[str](2 * (ENTRY_BYTES + 10))
    cache.put(b"a", "A", 10)
    cache.put(b"b", "B", 10)
    assert cache.get(b"a") == "A"
    cache.put(b"c", "C", 10)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == ["A", None, "C"]


def test_a_value_replaces_an_earlier_one_and_its_size() -> None:
    cache = BytesLRU[str](1000)
    cache.put(b"a", "A", 500)
    cache.put(b"a", "B", 100)
    assert (cache.get(b"a"), len(cache), cache.used_bytes) == ("B", 1, 380)
    cache.drop(b"a")
    cache.drop(b"a")
    assert (cache.get(b"a"), len(cache), cache.used_bytes) == (None, 0, 0)


def test_a_value_that_is_larger_than_all_the_room_is_not_kept_and_drives_nothing_out() -> None:
    cache = BytesLRU[str](1000)
    cache.put(b"a", "A", 100)
    cache.put(b"b", "B", 721)
    assert (cache.get(b"a"), cache.get(b"b")) == ("A", None)


@given(st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 2000))))
def test_the_sizes_never_pass_the_bound(puts: list[tuple[bytes, int]]) -> None:
    cache = BytesLRU[int](3000)
    for key, size in puts:
        cache.put(key, size, size)
        assert cache.used_bytes <= 3000
        assert cache.get(key) == (size if size + ENTRY_BYTES <= 3000 else None)
    kept = [cache.get(bytes([key])) for key in range(256)] + [cache.get(b"")]
    assert sum(size + ENTRY_BYTES for size in kept if size is not None) == cache.used_bytes
