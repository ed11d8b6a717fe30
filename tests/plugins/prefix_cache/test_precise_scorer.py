from plugins.generated import produce
from plugins.prefix_cache.events import payload, stored
from plugins.prefix_cache.test_engine_index import PUBLISHERS, A, B, hear
from plugins.prefix_cache.test_precise import state
from turnout.framework.testing import check_scorer, make_request
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES
from turnout.plugins.prefix_cache.precise_scorer import PrecisePrefixCacheScorer


def test_it_scores_what_it_produces() -> None:
    plugin = PrecisePrefixCacheScorer()
    plugin._index.follow({endpoint.name: PUBLISHERS[endpoint.name] for endpoint in (A, B)}, 0.0)
    hear(plugin._index, A, payload(stored([1, 2])))
    hear(plugin._index, B)
    assert plugin.writes == (PREFIX_MATCHES.of("precise-prefix-cache-scorer"),)
    used = produce(plugin, make_request(), state(), [A, B])
    assert check_scorer(plugin, make_request(), used, [A, B]) == [2 / 3, 0.0]
