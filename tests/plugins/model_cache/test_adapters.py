from turnout.framework import EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.model_cache.adapters import MAX_ADAPTERS, KnownAdapters


def test_an_adapter_is_known_once_an_engine_has_named_it() -> None:
    adapters = KnownAdapters(["stated"])
    metrics = EndpointMetrics(active_adapters=frozenset(["active"]), waiting_adapters=frozenset(["waiting"]))
    pool = [make_endpoint("a"), make_endpoint("b", metrics=metrics)]
    names = ("stated", "active", "waiting", "base")
    assert [adapters.look(name, pool) for name in names] == [True, True, True, False]
    assert [adapters.look(name, pool[:1]) for name in names] == [True, True, True, False]


def test_memory_is_bounded() -> None:
    adapters = KnownAdapters()
    for number in range(MAX_ADAPTERS + 3):
        metrics = EndpointMetrics(active_adapters=frozenset([f"a{number}"]))
        adapters.look(f"a{number}", [make_endpoint(metrics=metrics)])
    assert len(adapters) == MAX_ADAPTERS
    assert "a0" not in adapters
