from turnout.plugins.model_cache.keys import LOAD_SECONDS


def test_the_default_producer_s_key_is_the_one_without_a_name() -> None:
    assert LOAD_SECONDS.of("") is LOAD_SECONDS.of("model-cache-producer")
    assert LOAD_SECONDS.of("other") is not LOAD_SECONDS.of("")
