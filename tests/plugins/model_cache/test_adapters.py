from turnout.framework import EndpointMetrics
from turnout.plugins.model_cache.adapters import MAX_ADAPTERS, KnownAdapters


def test_an_adapter_is_known_once_an_engine_has_named_it() -> None:
    adapters = KnownAdapters(["stated"])
    for name in ("active", "waiting", "base"):
        adapters.saw(
            name, EndpointMetrics(active_adapters=frozenset(["active"]), waiting_adapters=frozenset(["waiting"]))
        )
    adapters.saw("active", EndpointMetrics())
    assert [name in adapters for name in ("stated", "active", "waiting", "base")] == [True, True, True, False]


def test_memory_is_bounded() -> None:
    adapters = KnownAdapters()
    for number in range(MAX_ADAPTERS + 3):
        adapters.saw(f"a{number}", EndpointMetrics(active_adapters=frozenset([f"a{number}"])))
    assert len(adapters) == MAX_ADAPTERS
    assert "a0" not in adapters
