import pytest

from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.prefix_cache.keys import PrefixMatches


def test_an_unnamed_producer_is_the_built_in_one() -> None:
    assert IN_FLIGHT_LOAD.of("").producer == "inflight-load-producer"
    assert UNCACHED_REQUEST_TOKENS.of("").producer == "inflight-load-producer"


@pytest.mark.parametrize(
    ("tokens", "matches", "uncached"),
    [
        pytest.param(1000, None, 1000, id="nothing known about caches"),
        pytest.param(1000, PrefixMatches({"b": 3}, 16, 64), 1000, id="no match here"),
        pytest.param(1000, PrefixMatches({"a": 3}, 16, 64), 808, id="three blocks of 64 match"),
        pytest.param(1000, PrefixMatches({"a": 15}, 16, 64), 40, id="all but the tail"),
        pytest.param(1000, PrefixMatches({"a": 16}, 16, 64), 0, id="all, the short last block included"),
        pytest.param(200_000, PrefixMatches({"a": 2048}, 2048, 64), 68_928, id="all that was looked at"),
    ],
)
def test_uncached_tokens_are_what_no_matching_block_covers(
    tokens: int, matches: PrefixMatches | None, uncached: int
) -> None:
    assert UncachedRequestTokens(tokens, matches).at("a") == uncached
