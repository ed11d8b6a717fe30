"""Knows what engines have cached from the events that they publish."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    InferenceRequest,
    PluginName,
    Prompt,
    Reading,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.prefix_cache.agreement import Agreement, Prediction
from turnout.plugins.prefix_cache.approximate import ApproxPrefixCacheProducer, computing_endpoints
from turnout.plugins.prefix_cache.blocks import BYTES_PER_TOKEN
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.followers import Followers
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.parameters import at_least
from turnout.plugins.prefix_cache.precise_config import IndexerConfig, KVEventsConfig, TokenProcessorConfig
from turnout.plugins.prefix_cache.precise_findings import ADVICE, figures, findings
from turnout.plugins.prefix_cache.precise_matches import TokenChain, chains_of, join
from turnout.plugins.prefix_cache.precise_readings import event_readings, index_readings
from turnout.plugins.prefix_cache.precise_snapshot import KIND, PreciseSnapshot
from turnout.plugins.prefix_cache.snapshot import SnapshotKeeper
from turnout.plugins.prefix_cache.tiers import Tiers
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT, TokenizedPrompt

DEFAULT_NAME = PluginName("precise-prefix-cache-producer")
DEFAULT_MAX_INDEX_BYTES = 1 << 30
DEFAULT_TOKENS, DEFAULT_INDEXER, DEFAULT_EVENTS = TokenProcessorConfig(), IndexerConfig(), KVEventsConfig()
MAX_PREFIX_TOKENS = 131_072
RECENT_REQUESTS = 1_000


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was looked up for one request, and how many tokens the prompt has."""

    chains: Sequence[TokenChain]
    prompt_tokens: int


class PrecisePrefixCacheProducer:
    """Publishes, for each endpoint, how many leading blocks of the prompt its engine has announced to hold.

    Engines announce blocks as events over ZMQ (vLLM and SGLang, in every form that is in the field);
    ``kv_events_config`` says where. Blocks are matched by their token ids, which ``token_producer_name`` provides
    (empty means ``token-producer``), so hashes, seeds and block sizes of engines need not agree with each other or with
    anything here. At most 131,072 tokens of a prompt are looked at.

    An endpoint whose events are not current (no connection, a gap that cannot be filled, events that cannot be read),
    and a request whose token ids are not known, are matched as ``approx-prefix-cache-producer`` does, by what was sent.

    With ``speculative_indexing`` the blocks of a dispatched prompt count as held until the engine announces them, so
    that the second request of a burst finds what the first is about to leave; at most for ``speculative_ttl``, and not
    beyond the clearing of the engine's cache.

    With a ``snapshot_path`` what was announced, and beside it (``.sent``) what was sent, is written there every
    ``snapshot_interval_seconds``; after a start it is used as far as the engines' replay sockets confirm it.

    Memory for blocks is bounded by ``max_index_bytes`` and by ``indexer_config``; see ``HeldBlocks``.

    Raises:
        ValueError: a parameter is out of range.
    """

    # Usage in a response tells how right a match was, but that is not worth a proxy that sends every answer.
    needs_response_body = False

    def __init__(
        self,
        token_processor_config: TokenProcessorConfig = DEFAULT_TOKENS,
        indexer_config: IndexerConfig = DEFAULT_INDEXER,
        kv_events_config: KVEventsConfig = DEFAULT_EVENTS,
        speculative_indexing: bool = False,
        speculative_ttl: timedelta = timedelta(seconds=2),
        max_index_bytes: int = DEFAULT_MAX_INDEX_BYTES,
        snapshot_path: str = "",
        snapshot_interval_seconds: float = 60.0,
        token_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if speculative_ttl <= timedelta():
            raise ValueError(f"speculative_ttl must be positive, got {speculative_ttl}")
        at_least("max_index_bytes", max_index_bytes, 1)
        try:
            tiers = Tiers(indexer_config.kv_cache_backend_configs)
        except ValueError as error:
            raise ValueError(f"kv_cache_backend_configs: {error}") from None
        self._default_block_size = token_processor_config.size
        self._ttl = speculative_ttl.total_seconds() if speculative_indexing else 0.0
        self._tokens_key = TOKENIZED_PROMPT.of(token_producer_name)
        self._matches_key = PREFIX_MATCHES.of(name)
        self._looked_key = StateKey[_Looked]("token-chains", producer=name)
        self._prediction_key = StateKey[Prediction]("cached-token-prediction", producer=name)
        self._guess = ApproxPrefixCacheProducer(
            snapshot_path=f"{snapshot_path}.sent" if snapshot_path else "",
            snapshot_interval_seconds=snapshot_interval_seconds,
            name=PluginName(f"{name}/sent"),
        )
        self._guess_key = PREFIX_MATCHES.of(f"{name}/sent")
        self.reads = (self._tokens_key,)
        self.optional_reads = (PROMPT,)
        self.writes = (self._matches_key,)
        self._index = EngineIndex(tiers, indexer_config.max_blocks(max_index_bytes))
        self._keeper = self._keeper_of(snapshot_path, snapshot_interval_seconds) if snapshot_path else None
        self._followers = Followers(self._index, kv_events_config)
        self._agreement = Agreement(advice=ADVICE)
        self._requests = 0
        self._without_tokens = 0
        self._token_problem = ""

    # --- requests ----------------------------------------------------------------------------------------

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the matches of the request's prompt; a request without a prompt has no blocks."""
        for name in self._index.take_emptied():
            self._guess.emptied(name)
        await self._guess.produce(request, state, endpoints)
        self._index.expire(state.now)
        guessed = state.read(self._guess_key)
        prompt, tokens = state.get(PROMPT), state.get(self._tokens_key, TokenizedPrompt())
        if prompt is None or not tokens.token_ids:
            self._note_missing(prompt, tokens)
            state.write(self._matches_key, guessed)
            return
        self._count_request()
        adapter = self._adapter(request.target_model, endpoints)
        sizes = self._index.block_sizes(endpoints) or [self._default_block_size]
        chains = chains_of(tokens, adapter, prompt.salt, sizes, MAX_PREFIX_TOKENS)
        matches = join(self._index, chains, guessed, endpoints, len(tokens), self._default_block_size)
        state.write(self._looked_key, _Looked(chains, len(tokens)))
        state.write(self._matches_key, matches)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Remembers what was sent, and what the engine is expected to find of it."""
        self._guess.pre_request(request, state, result)
        looked, matches = state.get(self._looked_key), state.get(self._matches_key)
        if looked is None or matches is None or result.target_model:
            return
        name = result.endpoint.name
        cached = matches.blocks.get(name, 0) * matches.block_size_tokens
        followed = self._index.followed.get(name)
        exact = followed is not None and followed.is_complete
        tolerance = 0 if exact else self._guessed_block(state, looked.prompt_tokens)
        prediction = Prediction(cached, looked.prompt_tokens, tolerance)
        state.write(self._prediction_key, prediction)
        self._agreement.sent(name, prediction, state.now)
        if self._ttl:
            for endpoint in computing_endpoints(result):
                self._expect(endpoint, looked, matches, state.now)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Compares the prediction with what the engine reports, if it does."""
        self._guess.response_complete(request, state, completion)
        self._agreement.completed(state.get(self._prediction_key), completion, state.now)

    def _guessed_block(self, state: CycleState, prompt_tokens: int) -> int:
        """Tokens that a block of the guess holds; it is one of bytes, and prompts are more or less dense."""
        block_bytes = state.read(self._guess_key).block_size_tokens * BYTES_PER_TOKEN
        return -(-block_bytes * prompt_tokens // max(1, len(state.read(PROMPT).data)))

    def _note_missing(self, prompt: Prompt | None, tokens: TokenizedPrompt) -> None:
        if prompt is not None:
            self._count_request()
            self._without_tokens += 1
            self._token_problem = tokens.problem

    def _count_request(self) -> None:
        self._requests += 1
        if self._requests > RECENT_REQUESTS:  # what is long past fades
            self._requests //= 2
            self._without_tokens //= 2

    def _adapter(self, model: str, endpoints: Sequence[Endpoint]) -> str:
        """The model's name if it is that of a LoRA adapter, "" for a base model.

        Engines name adapters in events and metrics, and base models in neither.
        """
        if model in self._index.adapters:
            return model
        for endpoint in endpoints:
            if model in endpoint.metrics.active_adapters or model in endpoint.metrics.waiting_adapters:
                return model
        return ""

    def _expect(self, endpoint: Endpoint, looked: _Looked, matches: PrefixMatches, now: float) -> None:
        """Counts what the engine will have computed as held; what it holds already need not be counted again."""
        followed = self._index.followed.get(endpoint.name)
        if followed is None:
            return
        matched = matches.blocks.get(endpoint.name, 0) * matches.block_size_tokens if followed.is_complete else 0
        for chain in looked.chains:
            if followed.blocks.block_size in (0, chain.block_size):
                self._index.expect(endpoint, chain.keys[matched // chain.block_size :], now + self._ttl)

    # --- events ------------------------------------------------------------------------------------------

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Follows the engines of these endpoints, and no others."""
        self._followers.endpoints_changed(endpoints)

    async def run(self) -> None:
        """Reads events until cancelled, and keeps the snapshots if they are configured."""
        if self._keeper is None:
            await self._followers.run()
            return
        await self._keeper.load_once()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._followers.run())
            tasks.create_task(self._keeper.run())
            tasks.create_task(self._guess.run())

    def _keeper_of(self, path: str, interval_seconds: float) -> SnapshotKeeper:
        content = PreciseSnapshot(self._index)
        return SnapshotKeeper(Path(path), KIND, interval_seconds, content.restore, content.copy)

    # --- figures -----------------------------------------------------------------------------------------

    def readings(self) -> Iterable[Reading]:
        """Of the index, of the events by endpoint, and of predicted and reported tokens."""
        yield from index_readings(self._index)
        yield from event_readings(self._index)
        yield from self._agreement.readings()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """What the events of each endpoint look like, and how right the matches were."""
        for endpoint in endpoints:
            self._agreement.observe(endpoint, now)
        own = findings(self._index, self._followers.problems, endpoints, self._tokens_missing())
        return Diagnosis(self._agreement.findings(now, own), self._agreement.figures(now, figures(self._index)))

    def _tokens_missing(self) -> str:
        """Why requests of late had no token ids, if many of them had none."""
        if self._without_tokens * 10 < self._requests or not self._without_tokens:
            return ""
        share = f"{self._without_tokens} of the last {self._requests} requests had no token ids"
        return f"{share}: {self._token_problem}" if self._token_problem else share
