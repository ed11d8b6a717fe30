from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.epp.simulator.blocks import BlockRemoved, BlockStored
from turnout.epp.simulator.engine import Engine, EngineConfig, StepResult
from turnout.epp.simulator.sequence import GenerationRequest

SMALL = EngineConfig(
    block_size=4, num_blocks=16, max_num_seqs=4, max_num_batched_tokens=16, max_model_len=64, max_loras=1
)


def request(
    request_id: str, prompt: Sequence[int], output: Sequence[int], lora_name: str | None = None
) -> GenerationRequest:
    return GenerationRequest(request_id, array("I", prompt), array("I", output), lora_name)


@dataclass
class Run:
    """Drives an engine on virtual time and keeps what it handed out."""

    engine: Engine
    now: float = 0.0
    tokens: dict[str, list[int]] = field(default_factory=dict)
    cached: dict[str, int] = field(default_factory=dict)

    def step(self) -> StepResult | None:
        duration = self.engine.start_step(self.now)
        return None if duration is None else self.finish(duration)

    def finish(self, duration: float) -> StepResult:
        self.now += duration
        result = self.engine.finish_step(self.now)
        for request_id, token in result.tokens:
            self.tokens.setdefault(request_id, []).append(token)
        self.cached |= {finished.request_id: finished.cached_tokens for finished in result.finished}
        return result

    def until_idle(self) -> None:
        while self.step() is not None:
            pass

    def serve(self, *requests: GenerationRequest) -> None:
        for each in requests:
            self.engine.submit(each, self.now)
        self.until_idle()


@st.composite
def requests(draw: st.DrawFn) -> list[GenerationRequest]:
    stems = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=24), min_size=1, max_size=3))
    drawn = []
    for number in range(draw(st.integers(1, 12))):
        prompt = draw(st.sampled_from(stems)) + draw(st.lists(st.integers(0, 3), max_size=12))
        output = draw(st.lists(st.integers(0, 3), min_size=1, max_size=28))
        each = request(f"r{number}", prompt, output, draw(st.sampled_from([None, "a", "b"])))
        drawn.append(replace(each, received=draw(st.booleans())))
    return drawn


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return length


@settings(deadline=None, max_examples=150)
@given(
    requests(),
    st.lists(st.integers(0, 20), min_size=12, max_size=12),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 11)), max_size=6),
)
def test_every_request_gets_its_tokens_and_no_block_leaks_whatever_is_cancelled(
    submitted: list[GenerationRequest], arrivals: list[int], cancellations: list[tuple[int, int]]
) -> None:
    engine = Engine(SMALL)
    run = Run(engine)
    cancelled: set[str] = set()
    step = 0
    while step <= 20 or engine.snapshot().running or engine.snapshot().waiting:
        for arrival, each in zip(arrivals, submitted, strict=False):
            if arrival == step:
                engine.submit(each, run.now)
        duration = engine.start_step(run.now)
        assert engine.blocks_in_use <= SMALL.num_blocks
        cancelled |= {f"r{number}" for at, number in cancellations if at == step and engine.cancel(f"r{number}")}
        if duration is not None:
            run.finish(duration)
        step += 1
    assert engine.blocks_in_use == 0
    for each in submitted:
        got, expected = run.tokens.get(each.request_id, []), each.output.tolist()
        assert got == (expected[: len(got)] if each.request_id in cancelled else expected)
    snapshot = engine.snapshot()
    assert (snapshot.running, snapshot.waiting, snapshot.running_adapters, snapshot.waiting_adapters) == (0, 0, (), ())
    assert sum(snapshot.finished.values()) == len(submitted)


@settings(deadline=None, max_examples=100)
@given(requests())
def test_prefix_reuse_never_exceeds_the_longest_true_common_prefix(submitted: list[GenerationRequest]) -> None:
    run = Run(Engine(SMALL))
    seen: list[tuple[str | None, list[int]]] = []
    for each in submitted:
        run.serve(each)
        if each.received:
            assert run.cached[each.request_id] == len(each.prompt) - 1
            seen.append((each.lora_name, each.prompt.tolist() + each.output.tolist()[:-1]))
            continue
        prompt = each.prompt.tolist()
        shared = max((common_prefix(prompt, old) for lora, old in seen if lora == each.lora_name), default=0)
        assert run.cached[each.request_id] <= min(shared, len(prompt) - 1)
        assert run.cached[each.request_id] % SMALL.block_size == 0
        # The last generated token is never fed back, so its keys and values are not in the cache.
        seen.append((each.lora_name, prompt + each.output.tolist()[:-1]))


@settings(deadline=None, max_examples=100)
@given(requests())
def test_cache_events_describe_what_the_cache_holds(submitted: list[GenerationRequest]) -> None:
    engine = Engine(EngineConfig(**{**vars(SMALL), "record_events": True}))
    held: set[int] = set()
    for each in submitted:
        engine.submit(each, 0.0)
    while engine.start_step(0.0) is not None:
        for event in engine.finish_step(0.0).events:
            if isinstance(event, BlockStored):
                assert event.parent_block_hash is None or event.parent_block_hash in held
                assert len(event.token_ids) == len(event.block_hashes) * SMALL.block_size
                held.update(event.block_hashes)
            elif isinstance(event, BlockRemoved):
                held.remove(event.block_hash)
        assert len(held) <= SMALL.num_blocks


def test_the_second_turn_of_a_conversation_finds_the_first_in_the_cache() -> None:
    run = Run(Engine(SMALL))
    run.serve(request("first", range(10), range(100, 107)))
    run.serve(request("second", [*range(10), *range(100, 107), 1, 2], [1]))
    # 17 tokens of history, the last one never fed back: 16 are cached.
    assert run.cached == {"first": 0, "second": 16}
    assert run.engine.snapshot().prefix_cache_queries == 29
    assert run.engine.snapshot().prefix_cache_hits == 16


def test_the_last_prompt_token_is_computed_even_when_the_whole_prompt_is_cached() -> None:
    run = Run(Engine(SMALL))
    run.serve(request("first", range(8), [1]))
    run.serve(request("again", range(8), [1]))
    assert run.cached["again"] == 4


def test_a_long_prompt_is_computed_in_chunks_of_what_the_budget_leaves() -> None:
    run = Run(Engine(SMALL))
    run.engine.submit(request("decoding", range(4), range(9)), 0.0)
    run.step()
    run.engine.submit(request("long", range(100, 140), [7]), 0.0)
    emitted = []
    for _ in range(3):
        result = run.step()
        assert result is not None
        emitted.append([request_id for request_id, _ in result.tokens])
    # 40 prompt tokens at 15 a step beside one decode: 15, 15, 10.
    assert emitted == [["decoding"], ["decoding"], ["decoding", "long"]]


def test_the_sequence_admitted_last_is_preempted_and_starts_over() -> None:
    config = EngineConfig(block_size=4, num_blocks=8, max_num_seqs=4, max_num_batched_tokens=32, max_model_len=32)
    run = Run(Engine(config))
    run.serve(request("a", range(12), range(12)), request("b", range(50, 62), range(12)))
    assert run.engine.snapshot().preemptions == 1
    assert run.tokens == {"a": list(range(12)), "b": list(range(12))}
    assert run.engine.snapshot().prompt_tokens == 24


def test_requests_for_a_further_adapter_wait_until_one_has_finished() -> None:
    run = Run(Engine(SMALL))
    for name, lora_name in (("a", "a"), ("b", "b"), ("base", None)):
        run.engine.submit(request(name, range(4), [1, 2], lora_name), 0.0)
    run.step()
    snapshot = run.engine.snapshot()
    assert (snapshot.running, snapshot.waiting_for_adapter, snapshot.waiting_for_capacity) == (2, 1, 0)
    assert (snapshot.running_adapters, snapshot.waiting_adapters) == (("a",), ("b",))
    run.until_idle()
    assert run.tokens == {"a": [1, 2], "b": [1, 2], "base": [1, 2]}


def test_no_more_than_max_num_seqs_run_at_a_time() -> None:
    engine = Engine(SMALL)
    for number in range(6):
        engine.submit(request(str(number), [number], [1]), 0.0)
    engine.start_step(0.0)
    assert (engine.snapshot().running, engine.snapshot().waiting) == (4, 2)


def test_a_request_cancelled_during_a_step_frees_its_blocks_at_once_and_gets_no_token() -> None:
    run = Run(Engine(SMALL))
    run.engine.submit(request("gone", range(8), range(5)), 0.0)
    duration = run.engine.start_step(0.0)
    assert duration is not None
    assert run.engine.cancel("gone")
    assert run.engine.blocks_in_use == 0
    assert run.finish(duration).tokens == []
    assert not run.engine.cancel("gone")
    assert run.engine.snapshot().finished["abort"] == 1


def test_latencies_are_measured_on_the_time_that_is_passed_in() -> None:
    run = Run(Engine(SMALL))
    run.engine.submit(request("r", range(4), [1, 2, 3]), 0.0)
    for end in (1.0, 1.5, 2.5):
        assert run.engine.start_step(run.now) is not None
        run.engine.finish_step(end)
    snapshot = run.engine.snapshot()
    assert snapshot.time_to_first_token.total == 1.0
    assert snapshot.inter_token_latency.total == 1.5
    assert snapshot.request_latency.total == 2.5


def test_resetting_the_cache_makes_the_next_request_compute_its_prompt() -> None:
    run = Run(Engine(SMALL))
    run.serve(request("first", range(8), [1]))
    assert run.engine.reset_prefix_cache()
    run.serve(request("second", range(8), [1]))
    assert run.cached["second"] == 0


def test_an_idle_engine_has_no_step() -> None:
    assert Engine(SMALL).start_step(0.0) is None


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param(request("r", [1], [1]), "request id 'r' is in use", id="an id twice"),
        pytest.param(request("s", range(60), range(5)), "65 tokens exceed max_model_len", id="too many tokens"),
    ],
)
def test_submit_refuses(second: GenerationRequest, message: str) -> None:
    engine = Engine(SMALL)
    engine.submit(request("r", [1], [1]), 0.0)
    with pytest.raises(ValueError, match=message):
        engine.submit(second, 0.0)


def test_a_step_is_started_and_finished_in_turn() -> None:
    engine = Engine(SMALL)
    with pytest.raises(RuntimeError, match="no step is in progress"):
        engine.finish_step(0.0)
    engine.submit(request("r", [1], [1]), 0.0)
    engine.start_step(0.0)
    with pytest.raises(RuntimeError, match="a step is in progress"):
        engine.start_step(0.0)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param({"block_size": 0}, "block_size must be at least 1, got 0", id="a size of zero"),
        pytest.param({"max_num_seqs": 4_096}, "must be at least max_num_seqs", id="a budget below the batch size"),
        pytest.param({"num_blocks": 100}, "must hold max_model_len", id="a cache smaller than one request"),
    ],
)
def test_an_impossible_configuration_is_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineConfig(**{**vars(EngineConfig()), **sizes})


def received(request_id: str, prompt: Sequence[int], output: Sequence[int]) -> GenerationRequest:
    return replace(request(request_id, prompt, output), received=True)


def test_of_a_received_prompt_only_the_last_token_is_computed() -> None:
    run = Run(Engine(SMALL))
    run.engine.submit(received("a", range(40), [7, 8]), 0.0)
    computing, received_at = Run(Engine(SMALL)), run.now
    computing.engine.submit(request("a", range(40), [7, 8]), 0.0)
    run.step()
    assert run.tokens == {"a": [7]}
    computing.step()
    assert computing.tokens == {}
    assert run.now - received_at == SMALL.timing.step_seconds([(39, 1)], 0, 0)
    run.until_idle()
    assert run.cached == {"a": 39}
    assert run.engine.snapshot().prefix_cache_hits == 0
    assert run.engine.blocks_in_use == 0


def test_received_blocks_serve_later_prompts_and_are_not_missing_again() -> None:
    run = Run(Engine(SMALL))
    assert run.engine.missing_blocks(request("a", range(10), [7])) == 3
    run.serve(received("a", range(10), [7]))
    assert run.engine.missing_blocks(request("b", range(10), [7])) == 1
    run.serve(request("b", range(10), [7]))
    assert run.cached == {"a": 9, "b": 8}


def test_the_block_of_the_last_token_is_missing_even_if_it_is_cached() -> None:
    run = Run(Engine(SMALL))
    run.serve(request("a", range(8), [7]))
    assert run.engine.missing_blocks(request("b", range(8), [7])) == 1


def test_a_received_prompt_that_is_preempted_is_computed_anew() -> None:
    config = replace(SMALL, num_blocks=16, max_num_batched_tokens=64)
    run = Run(Engine(config))
    run.serve(received("a", range(28), range(20)), received("b", range(100, 128), range(20)))
    assert run.engine.snapshot().preemptions == 1
    assert run.tokens == {"a": list(range(20)), "b": list(range(20))}
    assert run.engine.blocks_in_use == 0
