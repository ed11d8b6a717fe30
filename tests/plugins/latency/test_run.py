import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.latency.engine_timing import EngineTiming
from turnout.plugins.latency.predictor import Predictor, PredictorSettings, RequestShape, Row, Site
from turnout.plugins.latency.run import Run

DECODE = make_endpoint("d", labels={"role": "decode"})
PREFILL = make_endpoint("p", labels={"role": "prefill"})


def predicted(predictor: Predictor, tokens: int = 2_000, now: float = 100.0) -> dict[str, tuple[Site, Row]]:
    """Of a prompt of so many tokens, by the role of the endpoint."""
    endpoints = [DECODE, PREFILL]
    table = predictor.predict(RequestShape(tokens, [tokens, tokens], 100), endpoints, {}, now)
    found = {}
    for endpoint in endpoints:
        row = table.row(endpoint.name)
        assert row is not None
        found[endpoint.labels["role"]] = (predictor.site(endpoint), row)
    return found


def begun(predictor: Predictor, *, apart: bool, now: float = 100.0) -> Run:
    rows = predicted(predictor, now=now)
    run = Run(1, *rows["decode"], 2_050.0, now, rows["prefill"] if apart else None)
    run.begin(100, shows_first_token=True)
    return run


def make_predictor() -> Predictor:
    return Predictor(PredictorSettings(EngineTiming(), ("role",)))


def ahead(predictor: Predictor, now: float) -> tuple[float, float]:
    """Seconds of prompts ahead at the endpoint that decodes, and at the one that prefills."""
    return predictor.site(DECODE).work.prefill_ahead(now), predictor.site(PREFILL).work.prefill_ahead(now)


def test_a_prompt_is_the_work_of_whoever_computes_it() -> None:
    together, apart = make_predictor(), make_predictor()
    seconds = begun(together, apart=False).row.prefill_seconds
    begun(apart, apart=True)
    assert ahead(together, 100.0) == pytest.approx((seconds, 0.0))
    assert ahead(apart, 100.0) == pytest.approx((0.0, seconds))


def test_with_the_first_token_the_one_that_prefills_is_through_and_the_other_one_goes_on() -> None:
    predictor = make_predictor()
    run = begun(predictor, apart=True)
    run.first_token(predictor, 100.01)
    assert ahead(predictor, 100.01) == (0.0, 0.0)
    assert (predictor.site(DECODE).work.requests, predictor.site(PREFILL).work.requests) == (1, 0)
    run.end(101.0)
    assert predictor.site(DECODE).work.requests == 0


def test_a_request_that_ends_before_its_first_token_leaves_no_work() -> None:
    predictor = make_predictor()
    begun(predictor, apart=True).end(100.01)
    assert (predictor.site(DECODE).work.requests, predictor.site(PREFILL).work.requests) == (0, 0)


def test_a_first_token_teaches_about_the_one_that_prefills_and_not_about_the_one_that_decodes() -> None:
    predictor = make_predictor()
    before = predicted(predictor)
    seconds = 3.0 * before["prefill"][1].prediction.ttft_seconds
    for second in range(200, 400):
        run = begun(predictor, apart=True, now=second)
        run.first_token(predictor, second + seconds)
        run.end(second + 0.9)
    after = predicted(predictor, now=1_000.0)
    factor = after["prefill"][1].prediction.ttft_seconds / before["prefill"][1].prediction.ttft_seconds
    assert 2.5 < factor < 3.5
    unchanged = before["decode"][1].prediction.ttft_seconds
    assert after["decode"][1].prediction.ttft_seconds == pytest.approx(unchanged)


def test_the_step_of_the_one_that_decodes_is_not_the_other_one_s_time() -> None:
    predictor = make_predictor()
    before = predicted(predictor)
    ttft, step = before["prefill"][1].prediction.ttft_seconds, before["decode"][1].prediction.tpot_seconds
    for second in range(200, 260):
        run = begun(predictor, apart=True, now=second)
        assert run.ttft_seconds == pytest.approx(ttft + step, rel=0.02)
        run.first_token(predictor, second + ttft + step)
        run.end(second + 0.9)
    assert predicted(predictor, now=1_000.0)["prefill"][1].prediction.ttft_seconds == pytest.approx(ttft, rel=0.02)


def test_the_way_of_the_kv_cache_is_nobody_s_time() -> None:
    predictor = make_predictor()
    before = predicted(predictor)
    ttft, step = before["prefill"][1].prediction.ttft_seconds, before["decode"][1].prediction.tpot_seconds
    for second in range(200, 260):
        run = begun(predictor, apart=True, now=second)
        run.first_token(predictor, second + ttft + 0.4 + step, 0.4)
        run.end(second + 0.9)
    assert predicted(predictor, now=1_000.0)["prefill"][1].prediction.ttft_seconds == pytest.approx(ttft, rel=0.02)


def test_a_first_token_that_comes_sooner_than_a_step_takes_teaches_nothing() -> None:
    predictor = make_predictor()
    run = begun(predictor, apart=True)
    run.first_token(predictor, 100.0)
    assert predictor.site(PREFILL).variant.ttft.accuracy.observations == 0
