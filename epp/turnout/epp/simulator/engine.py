"""The engine of one simulated vLLM replica, on virtual time.

Theory of operation. Requests wait in order of arrival until they are admitted to the running batch. The
engine works in steps. A step has a budget of tokens: each running sequence that decodes takes one, what is
left computes prompts in chunks, first of the sequence that is already in the batch, then of newly admitted
ones. A prompt takes whatever budget is left, so only the last running sequence can be in the middle of its
prompt, and decodes come first by keeping the batch in order of admission.

Each sequence needs blocks for the tokens that it has computed. An admission needs room for the whole prompt;
a running sequence that finds no block preempts the one admitted last, which starts over at the head of the
queue.

A prompt that was received from another engine takes blocks like any other when it is admitted, and all of it but its
last token counts as computed. Preemption loses it as vLLM does: it is computed here then.

`start_step` decides and takes blocks, `finish_step` hands out the tokens. Between the two the step is in
progress, and snapshots show its batch as running. Nothing here reads a clock: the caller passes `now` in
seconds of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from turnout.epp.simulator.blocks import BlockPool, BlockStored, CacheEvent, extend_hashes
from turnout.epp.simulator.measurements import Counters, EngineSnapshot
from turnout.epp.simulator.sequence import GenerationRequest, Sequence
from turnout.epp.simulator.timing import StepTiming


@dataclass(frozen=True)
class EngineConfig:
    """The size of one replica; the defaults are Llama-3.1-8B on one H100 with vLLM's defaults.

    Raises:
        ValueError: a size is below 1, or two sizes contradict each other.

    """

    model: str = "meta-llama/Llama-3.1-8B-Instruct"
    block_size: int = 16
    """Tokens per block of the KV cache."""
    num_blocks: int = 26_500
    max_num_seqs: int = 256
    """Most sequences in the running batch."""
    max_num_batched_tokens: int = 2_048
    """Most tokens computed in one step."""
    max_model_len: int = 32_768
    """Most tokens of prompt and answer together."""
    max_loras: int = 4
    """Most distinct LoRA adapters in the running batch."""
    record_events: bool = False
    """Whether steps report cache events."""
    timing: StepTiming = field(default_factory=StepTiming)

    def __post_init__(self) -> None:
        sizes = {
            "block_size": self.block_size,
            "num_blocks": self.num_blocks,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_model_len": self.max_model_len,
            "max_loras": self.max_loras,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least "
                f"max_num_seqs ({self.max_num_seqs})"
            )
        if self.num_blocks * self.block_size < self.max_model_len:
            raise ValueError(
                f"num_blocks x block_size ({self.num_blocks * self.block_size} tokens) must hold max_model_len "
                f"({self.max_model_len} tokens)"
            )


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A request that got its last token."""

    request_id: str
    cached_tokens: int
    """Prompt tokens that were in the prefix cache, or received, when the request was first admitted."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one finished step brought."""

    tokens: list[tuple[str, int]]
    """(request id, token) in batch order; at most one token per request."""
    finished: list[FinishedRequest]
    events: list[CacheEvent]
    """Cache events in the order in which they happened; empty unless `EngineConfig.record_events`."""


class Engine:
    """Continuous batching over a paged prefix cache. Not thread-safe.

    A step costs O(batch); submitting costs O(prompt), and so does admitting a request, once per attempt.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._pool = BlockPool(config.num_blocks, record_events=config.record_events)
        self._sequences: dict[str, Sequence] = {}
        self._waiting: OrderedDict[str, Sequence] = OrderedDict()
        # Set aside while `max_loras` other adapters run; put back in front when one of those leaves the batch.
        self._deferred: OrderedDict[str, Sequence] = OrderedDict()
        self._running: list[Sequence] = []
        self._running_adapters: dict[str, int] = {}
        self._waiting_adapters: dict[str, int] = {}
        self._batch: list[Sequence] | None = None
        self._counters = Counters()

    @property
    def blocks_in_use(self) -> int:
        """Blocks that unfinished requests hold."""
        return self._pool.in_use

    def missing_blocks(self, request: GenerationRequest) -> int:
        """Return how many blocks of a prompt are not cached; as in vLLM, that of its last token never counts as."""
        sequence = Sequence(request, self._config.model, self._config.block_size, 0.0)
        found = self._pool.find_prefix(sequence.hashes, self._reusable_blocks(sequence))
        return -(-sequence.prompt_length // self._config.block_size) - len(found)

    def submit(self, request: GenerationRequest, now: float) -> None:
        """Queue a request; it can be in the next step that starts.

        Raises:
            ValueError: the id is in use, or prompt and output together exceed `max_model_len`.

        """
        if request.request_id in self._sequences:
            raise ValueError(f"request id {request.request_id!r} is in use")
        tokens = len(request.prompt) + len(request.output)
        if tokens > self._config.max_model_len:
            raise ValueError(
                f"request {request.request_id!r}: {tokens} tokens exceed max_model_len ({self._config.max_model_len})"
            )
        sequence = Sequence(request, self._config.model, self._config.block_size, now)
        self._sequences[request.request_id] = sequence
        self._waiting[request.request_id] = sequence
        _count_adapter(self._waiting_adapters, sequence, 1)

    def cancel(self, request_id: str) -> bool:
        """Drop a request at once and free its blocks; returns False when there is no such unfinished request."""
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return False
        if request_id in self._waiting or request_id in self._deferred:
            self._waiting.pop(request_id, None)
            self._deferred.pop(request_id, None)
            _count_adapter(self._waiting_adapters, sequence, -1)
        else:
            self._running.remove(sequence)
            self._leave_batch(sequence)
        self._close(sequence, now=None)
        self._counters.finished["abort"] += 1
        return True

    def reset_prefix_cache(self) -> bool:
        """Forget the cached blocks; like vLLM, does nothing and returns False while a request holds one."""
        return self._pool.clear()

    def start_step(self, now: float) -> float | None:
        """Choose the next step's batch; returns the step's duration in seconds, or None when nothing can run.

        Raises:
            RuntimeError: a step is in progress.

        """
        if self._batch is not None:
            raise RuntimeError("a step is in progress: call finish_step first")
        if not self._running and not self._waiting:
            return None
        batch: list[Sequence] = []
        budget, preempted = self._schedule_running(batch)
        if not preempted:
            self._schedule_waiting(batch, budget, now)
        self._batch = batch
        return self._duration(batch)

    def finish_step(self, now: float) -> StepResult:
        """End the step in progress and return what it brought.

        Raises:
            RuntimeError: no step is in progress.

        """
        if self._batch is None:
            raise RuntimeError("no step is in progress: call start_step first")
        tokens: list[tuple[str, int]] = []
        finished: list[FinishedRequest] = []
        for sequence in self._batch:
            if sequence.done:
                continue
            sequence.computed += sequence.scheduled
            if sequence.computed == sequence.known:
                tokens.append((sequence.request.request_id, sequence.tokens[sequence.known]))
                self._emit(sequence, now, finished)
        self._batch = None
        if finished:
            self._running = [sequence for sequence in self._running if not sequence.done]
        return StepResult(tokens, finished, self._pool.take_events())

    def snapshot(self) -> EngineSnapshot:
        """Return the metrics of this moment."""
        counters = self._counters
        return EngineSnapshot(
            running=len(self._running),
            waiting_for_capacity=len(self._waiting),
            waiting_for_adapter=len(self._deferred),
            kv_cache_usage=self._pool.in_use / self._config.num_blocks,
            prefix_cache_queries=counters.prefix_cache_queries,
            prefix_cache_hits=counters.prefix_cache_hits,
            preemptions=counters.preemptions,
            prompt_tokens=counters.prompt_tokens,
            generation_tokens=counters.generation_tokens,
            finished=dict(counters.finished),
            running_adapters=tuple(self._running_adapters),
            waiting_adapters=tuple(self._waiting_adapters),
            time_to_first_token=counters.time_to_first_token.snapshot(),
            inter_token_latency=counters.inter_token_latency.snapshot(),
            request_latency=counters.request_latency.snapshot(),
            queue_time=counters.queue_time.snapshot(),
        )

    def _schedule_running(self, batch: list[Sequence]) -> tuple[int, bool]:
        """Schedule what is running; returns the budget left and whether anything was preempted."""
        budget, preempted, index = self._config.max_num_batched_tokens, False, 0
        while index < len(self._running) and budget:
            sequence = self._running[index]
            count = min(sequence.known - sequence.computed, budget)
            missing = self._missing_blocks(sequence, sequence.computed + count)
            while missing > self._pool.available and index < len(self._running):
                self._preempt_last()
                preempted = True
            if index == len(self._running):
                break
            self._schedule(sequence, count, batch)
            budget -= count
            index += 1
        return budget, preempted

    def _schedule_waiting(self, batch: list[Sequence], budget: int, now: float) -> None:
        """Admit sequences in order while budget, slots and blocks last; set aside those without an adapter slot."""
        while self._waiting and budget and len(self._running) < self._config.max_num_seqs:
            request_id, sequence = next(iter(self._waiting.items()))
            if not self._adapter_fits(sequence):
                self._deferred[request_id] = self._waiting.pop(request_id)
            elif self._admit(sequence, now):
                del self._waiting[request_id]
                count = min(sequence.known - sequence.computed, budget)
                self._schedule(sequence, count, batch)
                budget -= count
            else:
                break

    def _adapter_fits(self, sequence: Sequence) -> bool:
        adapters = self._running_adapters
        return sequence.adapter is None or sequence.adapter in adapters or len(adapters) < self._config.max_loras

    def _admit(self, sequence: Sequence, now: float) -> bool:
        """Move a sequence into the batch with what is cached of it, if all that it has to compute fits."""
        pool = self._pool
        if sequence.blocked_at == pool.releases:
            return False
        found = pool.find_prefix(sequence.hashes, self._reusable_blocks(sequence))
        if self._missing_blocks(sequence, sequence.known) - len(found) > pool.available_beside(found):
            sequence.blocked_at = pool.releases
            return False
        pool.share(found)
        sequence.blocks = found
        sequence.computed = len(found) * self._config.block_size
        self._running.append(sequence)
        _count_adapter(self._waiting_adapters, sequence, -1)
        _count_adapter(self._running_adapters, sequence, 1)
        if sequence.admitted_at is None:
            self._first_admission(sequence, now)
        return True

    def _reusable_blocks(self, sequence: Sequence) -> int:
        # The last token is always computed: its logits are what the first new token is sampled from.
        return (sequence.known - 1) // self._config.block_size

    def _first_admission(self, sequence: Sequence, now: float) -> None:
        sequence.admitted_at = now
        self._counters.prefix_cache_queries += sequence.prompt_length
        self._counters.prefix_cache_hits += sequence.computed
        self._counters.queue_time.observe(now - sequence.arrived_at)
        if sequence.request.received:
            self._take_received(sequence)
        sequence.cached_tokens = sequence.computed

    def _take_received(self, sequence: Sequence) -> None:
        """Put what was received of the prompt into blocks; `_admit` has found room for all of it."""
        count = sequence.prompt_length - 1 - sequence.computed
        self._take_blocks(sequence, count)
        sequence.computed += count

    def _missing_blocks(self, sequence: Sequence, tokens: int) -> int:
        return -(-tokens // self._config.block_size) - len(sequence.blocks)

    def _schedule(self, sequence: Sequence, count: int, batch: list[Sequence]) -> None:
        self._take_blocks(sequence, count)
        sequence.scheduled = count
        batch.append(sequence)

    def _take_blocks(self, sequence: Sequence, count: int) -> None:
        """Give a sequence its blocks for `count` more tokens, and name those that they fill."""
        missing = self._missing_blocks(sequence, sequence.computed + count)
        if missing > 0:
            sequence.blocks += self._pool.allocate(missing)
        block_size = self._config.block_size
        first, last = sequence.computed // block_size, (sequence.computed + count) // block_size
        if last > first:
            self._store(sequence, first, last)

    def _store(self, sequence: Sequence, first: int, last: int) -> None:
        block_size = self._config.block_size
        extend_hashes(sequence.hashes, sequence.root, sequence.tokens, block_size, last)
        stored = BlockStored(
            block_hashes=tuple(sequence.hashes[first:last]),
            parent_block_hash=sequence.hashes[first - 1] if first else None,
            token_ids=sequence.tokens[first * block_size : last * block_size],
            lora_name=sequence.adapter,
            cache_salt=sequence.request.cache_salt,
        )
        self._pool.store(sequence.blocks, first, stored)

    def _preempt_last(self) -> None:
        sequence = self._running.pop()
        self._leave_batch(sequence)
        self._pool.release(sequence.blocks)
        sequence.restart()
        self._waiting[sequence.request.request_id] = sequence
        self._waiting.move_to_end(sequence.request.request_id, last=False)
        _count_adapter(self._waiting_adapters, sequence, 1)
        self._counters.preemptions += 1

    def _leave_batch(self, sequence: Sequence) -> None:
        """Account for a sequence that stops running; a freed adapter slot brings back what waited for one."""
        if _count_adapter(self._running_adapters, sequence, -1):
            self._deferred.update(self._waiting)
            self._waiting, self._deferred = self._deferred, OrderedDict()

    def _duration(self, batch: list[Sequence]) -> float:
        chunks: list[tuple[int, int]] = []
        decodes = context_tokens = 0
        for sequence in batch:
            if sequence.decoding:
                decodes += 1
                context_tokens += sequence.known
            else:
                chunks.append((sequence.computed, sequence.scheduled))
        return self._config.timing.step_seconds(chunks, decodes, context_tokens)

    def _emit(self, sequence: Sequence, now: float, finished: list[FinishedRequest]) -> None:
        """Count one generated token and close the sequence after its last."""
        counters = self._counters
        counters.generation_tokens += 1
        if sequence.last_token_at is None:
            counters.prompt_tokens += sequence.prompt_length
            counters.time_to_first_token.observe(now - sequence.arrived_at)
        else:
            counters.inter_token_latency.observe(now - sequence.last_token_at)
        sequence.last_token_at = now
        sequence.decoding = True
        sequence.known += 1
        if sequence.known == len(sequence.tokens):
            finished.append(FinishedRequest(sequence.request.request_id, sequence.cached_tokens))
            self._leave_batch(sequence)
            self._close(sequence, now)

    def _close(self, sequence: Sequence, now: float | None) -> None:
        """Free what a sequence holds; `now` is given when it finished rather than being cancelled."""
        sequence.done = True
        del self._sequences[sequence.request.request_id]
        self._pool.release(sequence.blocks)
        if now is not None:
            self._counters.finished[sequence.request.finish_reason] += 1
            self._counters.request_latency.observe(now - sequence.arrived_at)


def _count_adapter(counts: dict[str, int], sequence: Sequence, change: int) -> bool:
    """Add `change` to the count of the sequence's adapter; returns whether the adapter dropped out."""
    if sequence.adapter is None:
        return False
    count = counts.get(sequence.adapter, 0) + change
    if count:
        counts[sequence.adapter] = count
        return False
    del counts[sequence.adapter]
    return True
