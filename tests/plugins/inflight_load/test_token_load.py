import random
from collections.abc import Sequence

import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.inflight_load.prefill_queue import SentPrompts
from turnout.plugins.inflight_load.token_load import MAX_MODELS, TokenLedger

A = make_endpoint("a")


def test_what_was_sent_is_queued_until_it_is_computed() -> None:
    ledger = TokenLedger(1_000.0)
    sent = ledger.sent([("default/a", 4_000)], 0.0)
    assert ledger.queued_tokens(A, 0.0) == 4_000
    assert ledger.queued_tokens(A, 1.5) == 2_500
    assert ledger.queued_tokens(make_endpoint("a", waiting=1), 60.0) == 4_000
    ledger.computed(sent)
    assert ledger.queued_tokens(A, 0.0) == 0
    assert ledger.sent_tokens("default/a") == 4_000
    ledger.keep_only(())
    assert ledger.sent_tokens("default/a") == 0


def test_the_rate_is_the_measured_one() -> None:
    ledger = TokenLedger(1_000.0)
    for _ in range(200):
        ledger.observed("default/a", 2_000.0, 1.0)
    assert round(ledger.tokens_per_second("default/a")) == 2_000
    ledger.keep_only(())
    assert round(ledger.tokens_per_second("default/a")) == 2_000


def served(ledger: TokenLedger, rates: Sequence[float], load: float) -> None:
    """One endpoint computes prompts in their order, each at its rate and with 20 ms of overhead, as they come."""
    draw, now, free = random.Random(1), 0.0, 0.0
    running: list[tuple[float, float, SentPrompts, float, float]] = []
    for rate in rates:
        now += draw.expovariate(load * rates[0] / 4_250.0)
        while running and running[0][0] <= now:
            done, _, sent, ahead, at = running.pop(0)
            ledger.computed(sent)
            ledger.observed("default/a", ahead, done - at)
        tokens = draw.randint(500, 8_000)
        waiting = sum(begins > now for _, begins, *_ in running)
        ahead = ledger.queued_tokens(make_endpoint("a", waiting=waiting), now) + tokens
        begins = max(now, free)
        free = begins + tokens / rate + 0.02
        running.append((free, begins, ledger.sent([("default/a", tokens)], now), ahead, now))


@pytest.mark.parametrize("assumed", [2_000.0, 60_000.0])
@pytest.mark.parametrize("load", [0.2, 0.6, 0.9, 1.1])
def test_whatever_was_assumed_the_rate_is_found_at_any_load(assumed: float, load: float) -> None:
    ledger = TokenLedger(assumed)
    served(ledger, [16_000.0] * 500, load)
    # 4,250 tokens, the mean, take 0.286 s.
    assert ledger.tokens_per_second("default/a") == pytest.approx(14_900.0, rel=0.06)


def test_a_tenfold_slow_down_is_found() -> None:
    ledger = TokenLedger(16_000.0)
    served(ledger, [16_000.0] * 300 + [1_600.0] * 100, 0.6)
    assert ledger.tokens_per_second("default/a") == pytest.approx(1_600.0, rel=0.1)


def test_what_waits_is_counted_by_model() -> None:
    ledger = TokenLedger(1_000.0)
    assert [ledger.waits("m", 10), ledger.waits("m", 5), ledger.waits("n", 0)] == ["m", "m", "n"]
    assert dict(ledger.waiting_tokens()) == {"m": 15, "n": 0}
    ledger.waits_no_more("m", 10)
    ledger.waits_no_more("n", 0)
    assert dict(ledger.waiting_tokens()) == {"m": 5}


def test_models_beyond_the_bound_count_together() -> None:
    ledger = TokenLedger(1_000.0)
    for number in range(MAX_MODELS + 3):
        ledger.waits(f"m{number}", 1)
    assert ledger.waiting_tokens()[""] == 3
    assert len(ledger.waiting_tokens()) == MAX_MODELS + 1
