import pytest

from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, CacheBackend, Tiers


def test_engines_media_are_found_in_any_case_and_expected_blocks_have_a_tier_of_their_own() -> None:
    tiers = Tiers(DEFAULT_BACKENDS)
    assert [tiers.of(medium) for medium in ("GPU", "CPU", "DISK")] == [0, 1, None]
    assert (tiers.expected, tiers.weights) == (2, (1.0, 0.8, 1.0))


@pytest.mark.parametrize(
    ("backends", "problem"),
    [
        pytest.param([], "must have at least one entry", id="no tier"),
        pytest.param([CacheBackend(" ", 1.0)], "names must be distinct and not empty", id="an empty name"),
        pytest.param([CacheBackend("gpu", 1.0), CacheBackend("GPU", 0.5)], "names must be distinct", id="a name twice"),
        pytest.param([CacheBackend("gpu", 1.5)], r"'gpu' must be within \[0, 1\], got 1.5", id="more than all"),
        pytest.param([CacheBackend("gpu", float("nan"))], "must be within", id="no number"),
    ],
)
def test_tiers_are_checked(backends: list[CacheBackend], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Tiers(backends)
