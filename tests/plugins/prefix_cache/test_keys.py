from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES


def test_an_unnamed_producer_is_the_approximate_one() -> None:
    assert PREFIX_MATCHES.of("") is PREFIX_MATCHES.of("approx-prefix-cache-producer")
    assert PREFIX_MATCHES.of("").producer == "approx-prefix-cache-producer"
    assert PREFIX_MATCHES.of("precise-prefix-cache-producer") is not PREFIX_MATCHES.of("")
