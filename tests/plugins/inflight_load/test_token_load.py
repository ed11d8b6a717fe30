from turnout.framework.testing import make_endpoint
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
