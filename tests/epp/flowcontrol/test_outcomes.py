import pytest

from turnout.epp.flowcontrol import outcomes
from turnout.framework import Refusal, RefusalKind


@pytest.mark.parametrize(
    ("refusal", "kind", "reason", "message"),
    [
        pytest.param(
            outcomes.over_capacity("maxRequests is 5"),
            RefusalKind.RESOURCE_EXHAUSTED,
            "rejected-saturated",
            "request rejected by flow control: maxRequests is 5",
            id="a full queue",
        ),
        pytest.param(
            outcomes.pool_is_empty("maxRequests is 5"),
            RefusalKind.UNAVAILABLE,
            "rejected-no-endpoints",
            "no endpoints available: maxRequests is 5",
            id="a full queue before an empty pool",
        ),
        pytest.param(
            outcomes.expired(1.5, pool_empty=False),
            RefusalKind.RESOURCE_EXHAUSTED,
            "rejected-ttl-expired",
            "request timed out in queue: waited 1.500 s",
            id="time is over",
        ),
        pytest.param(
            outcomes.expired(1.5, pool_empty=True),
            RefusalKind.UNAVAILABLE,
            "rejected-no-endpoints",
            "request timed out in queue and no endpoints are available: waited 1.500 s",
            id="time is over without endpoints",
        ),
        pytest.param(
            outcomes.SHEDDABLE_DROPPED,
            RefusalKind.RESOURCE_EXHAUSTED,
            "rejected-saturated",
            "system saturated, sheddable request dropped",
            id="dropped without a queue",
        ),
        pytest.param(
            outcomes.EVICTED_WHILE_RUNNING,
            RefusalKind.RESOURCE_EXHAUSTED,
            "evicted",
            "request evicted by flow control",
            id="evicted",
        ),
    ],
)
def test_a_refusal_has_the_fields_kind_reason_and_words(
    refusal: Refusal, kind: RefusalKind, reason: str, message: str
) -> None:
    assert (refusal.kind, refusal.dropped_reason, refusal.message) == (kind, reason, message)
