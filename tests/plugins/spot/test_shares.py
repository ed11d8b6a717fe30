from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.spot.shares import RecentShares


@given(
    window=st.integers(1, 12),
    limits=st.fixed_dictionaries({"a": st.floats(0.0, 1.0), "b": st.floats(0.0, 1.0)}),
    wanted=st.lists(st.sampled_from(["a", "b", ""]), max_size=60),
)
def test_no_limit_is_ever_passed(window: int, limits: dict[str, float], wanted: list[str]) -> None:
    shares = RecentShares(window)
    last: deque[str] = deque(maxlen=window)
    for kind in wanted:
        went = kind if kind and shares.allows(kind, limits[kind]) else ""
        shares.add(went)
        last.append(went)
        for each, limit in limits.items():
            assert last.count(each) <= limit * len(last) + 1e-9
            assert shares.share(each) == last.count(each) / len(last)


def test_as_many_are_allowed_as_the_limit_says() -> None:
    shares = RecentShares(100)
    for _ in range(300):
        shares.add("a" if shares.allows("a", 0.29) else "")
    assert shares.share("a") == 0.29
    assert shares.share("b") == 0.0
    assert RecentShares(3).share("a") == 0.0
