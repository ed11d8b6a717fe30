import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from aiohttp import web

from plugins.generated import FIRST, LATER, decided, ended, produce, response_of
from plugins.http_servers import Answer, saying, serving
from plugins.latency.engines import Seen, SimulatedEngine, Traffic, serve
from turnout.framework import PROMPT, CycleState, Endpoint, InferenceRequest, Prompt, Termination, Usage
from turnout.framework.testing import check_signatures, make_endpoint, make_request
from turnout.plugins.disagg.keys import PREFILL_PROFILE
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets
from turnout.plugins.latency.producer import PredictedLatencyProducer
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

STREAM = replace(make_request(), stream=True)
PREDICTIONS, TARGETS = LATENCY_PREDICTIONS.of(""), SLO_TARGETS.of("")


def begun(tokens: int = 1000, now: float = 100.0) -> CycleState:
    state = CycleState(now)
    state.write(PROMPT, Prompt(b"", tokens))
    return state


def at(state: CycleState, endpoint: Endpoint) -> LatencyPrediction:
    return state.read(PREDICTIONS)[endpoint.name]


def sent(
    producer: PredictedLatencyProducer,
    endpoint: Endpoint,
    request: InferenceRequest = STREAM,
    now: float = 100.0,
) -> CycleState:
    state = produce(producer, request, begun(now=now), [endpoint])
    producer.pre_request(request, state, decided(endpoint))
    return state


# --- with real engines' timing ---------------------------------------------------------------------------


def two_speeds() -> list[SimulatedEngine]:
    speeds = (("a", "fast", 1.0), ("b", "fast", 1.0), ("c", "slow", 2.5), ("d", "slow", 2.5))
    return [SimulatedEngine(*each) for each in speeds]


def errors(seen: list[Seen], variant: str) -> list[float]:
    """Of TTFT, relative to what it was, of one variant in the order of dispatch."""
    mine = sorted((each for each in seen if each.variant == variant), key=lambda each: each.at)
    return [abs(each.predicted.ttft_seconds - each.ttft) / each.ttft for each in mine]


@pytest.mark.parametrize("rate", [pytest.param(6.0, id="hardly loaded"), pytest.param(24.0, id="half loaded")])
@pytest.mark.parametrize("seed", [0, 1])
def test_after_200_requests_the_error_is_below_20_percent_for_each_speed(rate: float, seed: int) -> None:
    producer = PredictedLatencyProducer(variant_labels=["gpu"])
    seen = serve(producer, two_speeds(), Traffic(rate, seed), 400)
    begun_at = sorted(each.at for each in seen)[200]
    later = [each for each in seen if each.at >= begun_at]
    assert median(errors(later, "fast")) < 0.2
    assert median(errors(later, "slow")) < 0.2


def test_bodies_are_not_needed() -> None:
    producer = PredictedLatencyProducer(variant_labels=["gpu"])
    seen = serve(producer, two_speeds(), Traffic(6.0, shows_bodies=False), 400)
    begun_at = sorted(each.at for each in seen)[200]
    assert median(errors([each for each in seen if each.at >= begun_at], "slow")) < 0.2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_threefold_slowdown_is_followed_within_50_observations(seed: int) -> None:
    engines, rate = two_speeds(), 8.0
    fast = [engine for engine in engines if engine.variant == "fast"]

    def slow_down() -> None:
        for engine in fast:
            engine.slowdown *= 3.0

    traffic = Traffic(rate, seed, events=[(300 / rate, slow_down)])
    seen = serve(PredictedLatencyProducer(variant_labels=["gpu"]), engines, traffic, 700)
    changed_at = min(each.at for each in seen) + 300 / rate
    after = errors([each for each in seen if each.at >= changed_at], "fast")
    assert median(after[:10]) > 0.3, "or the slow-down was none"
    assert median(after[50:]) < 0.2
    assert median(errors([each for each in seen if each.at >= changed_at], "slow")) < 0.2


def test_one_endpoint_that_gets_ten_times_slower_is_known_within_30_seconds() -> None:
    engines, rate = two_speeds(), 10.0

    def slow_down() -> None:
        engines[0].slowdown = 10.0

    traffic = Traffic(rate, median_prompt=300, answer=(10, 30), events=[(30.0, slow_down)])
    seen = serve(PredictedLatencyProducer(variant_labels=["gpu"]), engines, traffic, 800)
    changed_at = min(each.at for each in seen) + 30.0
    ratios = [each.predicted.ttft_seconds / each.ttft for each in seen if each.endpoint == "a"]
    later = [
        each.predicted.ttft_seconds / each.ttft
        for each in seen
        if each.endpoint == "a" and each.at >= changed_at + 30.0
    ]
    assert len(ratios) > 100
    assert median(later) == pytest.approx(1.0, abs=0.25)
    neighbour = [each for each in seen if each.endpoint == "b" and each.at >= changed_at + 30.0]
    assert median(errors(neighbour, "fast")) < 0.35


# --- what is published -----------------------------------------------------------------------------------


def test_each_candidate_has_a_prediction_that_knows_what_is_cached_there() -> None:
    warm, cold = make_endpoint("warm"), make_endpoint("cold")
    state = begun()
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({warm.name: 60}, 63, 16))
    produce(PredictedLatencyProducer(), STREAM, state, [warm, cold])
    assert at(state, warm).ttft_seconds < at(state, cold).ttft_seconds / 2


@pytest.mark.parametrize(
    ("parameters", "own", "waited", "expected"),
    [
        pytest.param({}, (None, None), 0.0, SloTargets(None, None), id="none"),
        pytest.param({}, (1.0, 0.05), 0.0, SloTargets(1.0, 0.05), id="its own"),
        pytest.param({}, (1.0, 0.05), 0.25, SloTargets(0.75, 0.05), id="less what it has waited"),
        pytest.param({"slo_buffer_factor": 0.5}, (1.0, 0.05), 0.25, SloTargets(0.25, 0.025), id="with a buffer"),
        pytest.param(
            {"default_ttft_target": timedelta(seconds=2), "default_tpot_target": timedelta(seconds=1)},
            (None, 0.05),
            0.0,
            SloTargets(2.0, 0.05),
            id="a default for what it does not state",
        ),
    ],
)
def test_targets_are_those_of_the_request_or_the_default(
    parameters: dict[str, Any], own: tuple[float | None, float | None], waited: float, expected: SloTargets
) -> None:
    request = replace(STREAM, ttft_target=own[0], tpot_target=own[1], received_at=100.0 - waited)
    state = produce(PredictedLatencyProducer(**parameters), request, begun(), [make_endpoint()])
    assert state.read(TARGETS) == pytest.approx(expected)


def test_what_was_predicted_of_others_is_not_kept_for_as_long_as_the_response() -> None:
    producer, chosen, other, prefill = PredictedLatencyProducer(), *(make_endpoint(name) for name in "abc")
    state = produce(producer, STREAM, begun(), [chosen, other, prefill])
    producer.pre_request(STREAM, state, decided(chosen, ("prefill", prefill)))
    kept = state.read(PREDICTIONS)
    assert set(kept) == {chosen.name, prefill.name}


def test_without_publishing_it_learns_all_the_same() -> None:
    producer, endpoint = PredictedLatencyProducer(predict_in_produce=False), make_endpoint()
    state = produce(producer, STREAM, begun(), [endpoint])
    assert PREDICTIONS not in state
    producer.pre_request(STREAM, state, decided(endpoint))
    state.now = 101.0
    producer.response_body(STREAM, state, response_of(endpoint), FIRST)
    assert observations(producer)["ttft"] == 1


def test_an_endpoint_that_has_to_load_the_model_first_begins_later() -> None:
    ready, loading = make_endpoint("ready"), make_endpoint("loading")
    state = begun()
    state.write(LOAD_SECONDS.of(""), {loading.name: 20.0})
    produce(PredictedLatencyProducer(), STREAM, state, [ready, loading])
    assert at(state, loading).ttft_seconds == pytest.approx(at(state, ready).ttft_seconds + 20.0)


# --- what is learnt --------------------------------------------------------------------------------------


def observations(producer: PredictedLatencyProducer) -> dict[str, float]:
    return {
        each.labels["type"]: each.value  # type: ignore[union-attr]
        for each in producer.readings()
        if each.name == "latency_prediction_observations_total"
    }


def test_a_stream_tells_of_its_first_token_and_of_the_time_between_tokens() -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint()
    state = sent(producer, endpoint, replace(STREAM, ttft_target=0.1))
    state.now = 100.5
    producer.response_body(STREAM, state, response_of(endpoint), FIRST)
    for _ in range(10):
        state.now += 0.02
        producer.response_body(STREAM, state, response_of(endpoint), LATER)
    producer.response_complete(STREAM, state, ended(endpoint))
    assert observations(producer) == {"ttft": 1, "tpot": 1}
    after = sent(producer, endpoint, now=200.0)
    assert at(after, endpoint).ttft_seconds > 0.03
    assert at(after, endpoint).tpot_seconds > 0.0066


def test_of_a_stream_whose_first_piece_alone_is_seen_the_length_tells_how_many_tokens_it_had() -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint()
    for number in range(50):
        state = sent(producer, endpoint, now=100.0 * number)
        state.now += 0.03
        producer.response_body(STREAM, state, response_of(endpoint), FIRST)
        state.now += 100 * 0.03
        producer.response_complete(STREAM, state, replace(ended(endpoint), response_bytes=101 * len(FIRST.data)))
    assert observations(producer) == {"ttft": 50, "tpot": 50}
    assert at(sent(producer, endpoint, now=20_000.0), endpoint).tpot_seconds == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize(
    ("changes"),
    [
        pytest.param({"cause": Termination.CLIENT_DISCONNECT}, id="the client left"),
        pytest.param({"cause": Termination.EVICTED}, id="it was taken back"),
        pytest.param({"status": 500}, id="the engine failed"),
        pytest.param({"status": None}, id="nobody answered"),
    ],
)
def test_a_request_that_was_not_served_teaches_nothing_and_leaves_nothing(changes: dict[str, Any]) -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint()
    before = at(produce(producer, STREAM, begun(), [endpoint]), endpoint)
    state = sent(producer, endpoint)
    state.now = 5000.0
    producer.response_complete(STREAM, state, replace(ended(endpoint), **changes))
    producer.response_complete(STREAM, state, ended(endpoint))
    assert at(produce(producer, STREAM, begun(now=6000.0), [endpoint]), endpoint) == pytest.approx(before)
    assert observations(producer) == {"ttft": 0, "tpot": 0}


def test_answers_are_expected_to_be_as_long_as_those_before_and_as_the_request_allows() -> None:
    producer, endpoint = PredictedLatencyProducer(expected_output_tokens=10), make_endpoint()
    short = at(produce(producer, STREAM, begun(), [endpoint]), endpoint).busy_seconds
    for _ in range(100):
        state = sent(producer, endpoint)
        producer.response_complete(STREAM, state, replace(ended(endpoint), usage=Usage(1000, 1000)))
    later = produce(producer, STREAM, begun(now=500.0), [endpoint])
    assert at(later, endpoint).busy_seconds > 20 * short
    limited = produce(producer, replace(STREAM, max_output_tokens=10), begun(now=500.0), [endpoint])
    assert at(limited, endpoint).busy_seconds < 2 * short


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(10**9, id="a mistake"),
        pytest.param(10**300, id="sums with it overflow"),
        pytest.param(10**400, id="no float can hold it"),
    ],
)
def test_a_report_beyond_any_answer_does_not_spoil_what_is_expected_of_others(tokens: int) -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint("a")
    state = sent(producer, endpoint)
    state.now += 1.0
    producer.response_complete(STREAM, state, replace(ended(endpoint), usage=Usage(10, tokens)))
    busy = at(produce(producer, STREAM, begun(), [endpoint]), endpoint).busy_seconds
    assert busy < 1e5


def test_an_endpoint_that_left_is_forgotten() -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint()
    state = sent(producer, endpoint)
    producer.response_complete(STREAM, state, ended(endpoint))
    assert producer.diagnose([endpoint], 0.0).figures[endpoint.name]["variant"] == ""
    producer.endpoints_changed([])
    assert producer.diagnose([endpoint], 0.0).figures == {}


def test_bad_predictions_are_a_finding() -> None:
    producer, endpoint = PredictedLatencyProducer(), make_endpoint()
    for number in range(100):
        state = sent(producer, endpoint, now=100.0 * number)
        state.now += 0.01 if number % 2 else 4.0
        producer.response_body(STREAM, state, response_of(endpoint), FIRST)
        producer.response_complete(STREAM, state, ended(endpoint))
    (finding,) = producer.diagnose([endpoint], 0.0).findings
    assert finding.cause == "inaccurate-ttft"
    assert "variantLabels" in finding.message
    assert at(sent(producer, endpoint, now=20_000.0), endpoint).confidence < 0.5


# --- what survives ---------------------------------------------------------------------------------------


def test_what_was_learnt_survives_a_restart(tmp_path: Path) -> None:
    path, engines = tmp_path / "learnt.json", [SimulatedEngine("a", "slow", 4.0)]
    producer = PredictedLatencyProducer(variant_labels=["gpu"], state_file=str(path))
    serve(producer, engines, Traffic(2.0), 200)

    async def live() -> None:
        task = asyncio.create_task(producer.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(live())
    again = PredictedLatencyProducer(variant_labels=["gpu"], state_file=str(path))
    fresh = PredictedLatencyProducer(variant_labels=["gpu"])
    endpoint = engines[0].endpoint()
    prompt_of_4 = at(produce(again, STREAM, begun(4000), [endpoint]), endpoint).ttft_seconds
    assert prompt_of_4 > 2.5 * at(produce(fresh, STREAM, begun(4000), [endpoint]), endpoint).ttft_seconds


def test_a_file_that_cannot_be_written_costs_the_file_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    producer = PredictedLatencyProducer(state_file=str(tmp_path / "nowhere" / "learnt.json"))

    async def live() -> None:
        task = asyncio.create_task(producer.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(live())
    assert "latencies that were learnt are not saved" in caplog.text


# --- with servers ----------------------------------------------------------------------------------------


def predicting(ttft_ms: float) -> Answer:
    """The same median for every row."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path != "/predict/bulk/strict":
            return web.Response(status=202)
        rows = (await request.json())["requests"]
        prediction = {"ttft_ms": ttft_ms, "tpot_ms": 50.0, "objective_type": "quantile", "quantile": 0.5}
        return web.json_response({"predictions": [prediction] * len(rows)})

    return answer


async def served(producer: PredictedLatencyProducer, endpoint: Endpoint, *others: tuple[str, Endpoint]) -> CycleState:
    """One request, from its arrival to its end; ``others`` were picked by other profiles."""
    state = begun()
    await producer.produce(STREAM, state, [endpoint, make_endpoint("another")])
    producer.pre_request(STREAM, state, decided(endpoint, *others))
    kept = state.read(PREDICTIONS)
    assert set(kept) == {endpoint.name, *(other.name for _, other in others)}
    state.now += 0.5
    producer.response_body(STREAM, state, response_of(endpoint), FIRST)
    state.now += 1.0
    producer.response_complete(STREAM, state, replace(ended(endpoint), usage=Usage(1000, 51)))
    return state


def sources(producer: PredictedLatencyProducer) -> dict[str, float]:
    return {
        each.labels["source"]: each.value  # type: ignore[union-attr]
        for each in producer.readings()
        if each.name == "latency_predictions_total"
    }


async def stop(producer: PredictedLatencyProducer) -> None:
    task = asyncio.create_task(producer.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_what_a_server_predicts_is_published_and_what_happened_is_learnt_here_too() -> None:
    endpoint = make_endpoint()
    async with serving(predicting(321.0)) as server:
        producer = PredictedLatencyProducer(prediction_servers=[server.url], training_server=server.url)
        state = await served(producer, endpoint)
        await stop(producer)
    assert at(state, endpoint).ttft_seconds == pytest.approx(0.321)
    assert at(state, endpoint).tpot_seconds == pytest.approx(0.05)
    assert at(state, endpoint).busy_seconds > 0.0
    assert sources(producer) == {"server": 1, "in-process": 0}
    assert observations(producer) == {"ttft": 1, "tpot": 1}
    waiting = [each for each in producer.readings() if each.name == "latency_predictor_samples_waiting"]
    assert [each.value for each in waiting] == [2]  # type: ignore[union-attr]


async def test_servers_are_not_told_the_first_token_of_a_prompt_that_another_endpoint_computed() -> None:
    async with serving(predicting(321.0)) as server:
        producer = PredictedLatencyProducer(training_server=server.url)
        await served(producer, make_endpoint(), ("prefill", make_endpoint("another")))
        await stop(producer)
    waiting = [each for each in producer.readings() if each.name == "latency_predictor_samples_waiting"]
    assert [each.value for each in waiting] == [1]  # type: ignore[union-attr]
    assert observations(producer) == {"ttft": 1, "tpot": 1}


async def test_without_an_answer_the_prediction_of_this_process_stands_in() -> None:
    endpoint = make_endpoint()
    alone = begun()
    await PredictedLatencyProducer().produce(STREAM, alone, [endpoint])
    async with serving(saying(b"{}", 503)) as server:
        producer = PredictedLatencyProducer(prediction_servers=[server.url])
        for _ in range(3):
            state = begun()
            await producer.produce(STREAM, state, [endpoint])
            assert at(state, endpoint) == at(alone, endpoint)
        producer.pre_request(STREAM, state, decided(endpoint))
        await stop(producer)
    assert sources(producer) == {"server": 0, "in-process": 1}
    (finding,) = producer.diagnose([endpoint], 0.0).findings
    assert finding.cause == "prediction-server-fails"


async def test_with_a_training_server_alone_no_server_is_asked_for_predictions() -> None:
    async with serving(predicting(321.0)) as server:
        producer = PredictedLatencyProducer(training_server=server.url)
        await served(producer, make_endpoint())
        await stop(producer)
        assert server.asked == []
    assert sources(producer) == {"server": 0, "in-process": 1}


def test_without_servers_nothing_is_said_of_them() -> None:
    producer = PredictedLatencyProducer()
    sent(producer, make_endpoint())
    assert sources(producer) == {}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"prediction_servers": ["predictor:8001"]}, "must begin with http:// or https://", id="no URL"),
        pytest.param({"training_server": "ftp://a"}, "must begin with http:// or https://", id="another protocol"),
        pytest.param(
            {"prediction_timeout": timedelta(0)}, "prediction_timeout must be above 0", id="no time to answer"
        ),
        pytest.param(
            {"prediction_timeout": timedelta(seconds=1)}, "at most 0:00:00.350000", id="more time than it has"
        ),
        pytest.param({"slo_buffer_factor": 0.0}, "slo_buffer_factor must be positive and finite, got 0.0", id="0"),
        pytest.param({"expected_output_tokens": 0}, "expected_output_tokens must be at least 1, got 0", id="no answer"),
        pytest.param({"max_running_requests": -1}, "max_running_requests must be at least 0, got -1", id="negative"),
        pytest.param({"adapter_load_time": timedelta(-1)}, "adapter_load_time must be at least 0", id="before it asks"),
        pytest.param({"default_ttft_target": timedelta(0)}, "default_ttft_target must be above 0", id="no time"),
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictedLatencyProducer(**wrong)


def test_it_fits_its_extension_points() -> None:
    check_signatures(PredictedLatencyProducer())
    assert not PredictedLatencyProducer().needs_first_piece
    assert PredictedLatencyProducer(streaming_mode=True).needs_first_piece


def test_a_prompt_that_another_endpoint_computes_is_ahead_there_until_its_first_token() -> None:
    decode, prefill = make_endpoint("d"), make_endpoint("p")
    producer = PredictedLatencyProducer(streaming_mode=True)
    idle = produce(producer, STREAM, begun(), [decode, prefill])
    state = produce(producer, STREAM, begun(), [decode, prefill])
    producer.pre_request(STREAM, state, decided(decode, ("prefill", prefill)))
    busy = produce(producer, STREAM, begun(), [decode, prefill])
    assert at(busy, prefill).ttft_seconds > 1.5 * at(idle, prefill).ttft_seconds
    assert at(busy, decode).ttft_seconds == pytest.approx(at(idle, decode).ttft_seconds, rel=0.01)
    state.now = 100.05
    producer.response_body(STREAM, state, response_of(decode), FIRST)
    later = produce(producer, STREAM, begun(now=100.05), [decode, prefill])
    assert at(later, prefill).ttft_seconds == pytest.approx(at(idle, prefill).ttft_seconds, rel=0.3)


def test_without_first_pieces_a_request_whose_prompt_was_computed_elsewhere_teaches_nothing() -> None:
    decode, prefill = make_endpoint("d"), make_endpoint("p")
    producer = PredictedLatencyProducer()
    idle = produce(producer, STREAM, begun(), [decode, prefill])
    for second in range(20):
        state = produce(producer, STREAM, begun(now=200.0 + second), [decode, prefill])
        producer.pre_request(STREAM, state, decided(decode, ("prefill", prefill)))
        state.now += 30.0
        producer.response_complete(STREAM, state, ended(decode))
    after = produce(producer, STREAM, begun(now=1_000.0), [decode, prefill])
    for endpoint in (decode, prefill):
        assert at(after, endpoint).ttft_seconds == pytest.approx(at(idle, endpoint).ttft_seconds)


def test_the_profile_that_prefills_may_have_another_name() -> None:
    producer = PredictedLatencyProducer()
    decode, prefill = make_endpoint("d"), make_endpoint("p")
    idle = produce(producer, STREAM, begun(), [decode, prefill])
    state = produce(producer, STREAM, begun(), [decode, prefill])
    state.write(PREFILL_PROFILE, "compute")
    producer.pre_request(STREAM, state, decided(decode, ("compute", prefill)))
    busy = produce(producer, STREAM, begun(), [decode, prefill])
    assert at(busy, prefill).ttft_seconds > 1.5 * at(idle, prefill).ttft_seconds
