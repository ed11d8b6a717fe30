from turnout.plugins.model_cache.tiers import Tier


def test_the_words_are_those_of_the_metrics() -> None:
    assert [tier.value for tier in Tier] == ["loaded", "loading", "disk", "nowhere"]
