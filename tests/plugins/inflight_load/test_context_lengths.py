import pytest

from turnout.plugins.inflight_load.context_lengths import MAX_ENDPOINTS, POOL, ContextLengths


def test_quantiles_are_those_of_the_endpoint_and_of_the_pool() -> None:
    contexts = ContextLengths(600.0)
    for tokens in range(1, 101):
        contexts.add("a", tokens * 10, 0.0)
        contexts.add("b", 100_000, 0.0)
    assert contexts.quantiles("a", 0.0) == pytest.approx({0.5: 500.0, 0.9: 900.0, 0.99: 990.0}, rel=0.06)
    assert contexts.quantiles(POOL, 0.0)[0.9] == pytest.approx(100_000.0, rel=0.05)
    assert contexts.quantiles("c", 0.0) == {}


@pytest.mark.parametrize(
    ("now", "known"),
    [
        pytest.param(99.0, True, id="in the window"),
        pytest.param(199.0, True, id="in the window before"),
        pytest.param(200.0, False, id="before that"),
        pytest.param(1e9, False, id="long ago"),
    ],
)
def test_what_was_two_windows_ago_is_forgotten(now: float, *, known: bool) -> None:
    contexts = ContextLengths(100.0)
    contexts.add("a", 1_000, 50.0)
    assert bool(contexts.quantiles("a", now)) is known
    contexts.add("b", 1_000, now)
    assert bool(contexts.quantiles("a", now)) is known


def test_memory_is_bounded() -> None:
    contexts = ContextLengths(100.0)
    for number in range(MAX_ENDPOINTS + 5):
        contexts.add(f"e{number}", 10**number if number < 12 else 0, 0.0)
    contexts.add("e0", -5, 0.0)
    assert len(contexts._current) == MAX_ENDPOINTS + 1
    assert contexts._current[POOL].count == MAX_ENDPOINTS + 6
