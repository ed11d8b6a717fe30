"""What is wrong with the events of engines, and what to do about it."""

from collections.abc import Iterable, Mapping, Sequence

from turnout.framework import Endpoint, Figure, Finding
from turnout.plugins.prefix_cache.engine_index import EngineIndex, Followed
from turnout.plugins.prefix_cache.event_stream import StreamState
from turnout.plugins.prefix_cache.verdicts import (
    DEFAULT_ADVICE,
    OVER_PREDICTION,
    SILENT_ZERO_PREDICTED,
    SILENT_ZERO_REPORTED,
    UNDER_PREDICTION,
)

NO_ADDRESS = "no-event-address"
NO_STREAM = "no-event-stream"
NO_EVENTS = "no-events"
SCHEMA = "event-schema"
BLOCK_SIZE = "block-size"
UNTOKENIZED = "no-token-ids"
HISTORY = "history-incomplete"
RESTARTS = "publisher-restarts"
INDEX_FULL = "index-full"

_ASK_FOR_EVENTS = (
    "Does the engine publish events there (vLLM: --kv-events-config with enable_kv_cache_events, and an endpoint that "
    "begins with tcp://*)?"
)
_UNTOLD = "Blocks that it announced before it was followed, or during a gap, are not known."
_ASK_FOR_REPLAYS = (
    "A replay socket closes gaps (vLLM: replay_endpoint in --kv-events-config; here replaySocketPort, or the label "
    "turnout/kv-replay-port)."
)

FALLBACK = "Until then it is matched by what was sent to it."

MIN_LOOKED_UP_TOKENS = 10_000
"""Prompt tokens that an engine looked up without announcing a block, after which its silence is strange."""

FREQUENT_RESTARTS = 3

ADVICE: Mapping[str, str] = {
    **DEFAULT_ADVICE,
    SILENT_ZERO_PREDICTED: (
        "Likely: the token ids are not those of the engine (another model, tokenizer or chat template), the requests "
        "name a LoRA adapter or a cache salt that the events do not show, or the history of the events is incomplete."
    ),
    SILENT_ZERO_REPORTED: (
        "Likely: the engine leaves cached tokens out of its usage (vLLM: --enable-prompt-tokens-details), or requests "
        "skip its prefix cache (prompt logprobs)."
    ),
    OVER_PREDICTION: "Likely: events arrive late, or the engine evicts before a request that waits there begins.",
    UNDER_PREDICTION: "Likely: events arrive late, or the history of the events is incomplete.",
}
"""What to do, by cause, where events are the source."""


def findings(
    index: EngineIndex, unlocated: Mapping[str, str], endpoints: Sequence[Endpoint], tokens_missing: str
) -> list[Finding]:
    """Everything that keeps events from being used; ``unlocated`` says, by name, why an endpoint is not followed.

    ``tokens_missing`` says that many requests had no token ids, empty if they had.
    """
    found = [Finding(NO_ADDRESS, f"{problem}. {FALLBACK}", name) for name, problem in unlocated.items()]
    if tokens_missing:
        found.append(Finding(UNTOKENIZED, f"{tokens_missing}. They were matched by what was sent."))
    if index.held.is_full:
        message = f"the index is full, {index.held.refused} blocks did not fit; raise maxIndexBytes"
        found.append(Finding(INDEX_FULL, message))
    for endpoint in endpoints:
        followed = index.followed.get(endpoint.name)
        if followed is not None:
            found += (Finding(cause, message, endpoint.name) for cause, message in _of_one(followed, endpoint))
    return found


def _of_one(followed: Followed, endpoint: Endpoint) -> Iterable[tuple[str, str]]:
    yield from _of_stream(followed)
    yield from _of_content(followed, endpoint)


def _of_stream(followed: Followed) -> Iterable[tuple[str, str]]:
    stream, counters = followed.stream, followed.stream.counters
    if followed.problem:
        yield NO_STREAM, f"{followed.publisher.events}: {followed.problem}. {FALLBACK}"
    elif stream.state in (StreamState.LOST, StreamState.CONNECTING):
        yield NO_STREAM, f"no connection to {followed.publisher.events}. {_ASK_FOR_EVENTS} {FALLBACK}"
    if counters.undecodable or counters.unknown_events:
        told = {**counters.undecodable, **{f"kind {tag!r}": n for tag, n in counters.unknown_events.items()}}
        listed = ", ".join(f"{count} x {cause}" for cause, count in told.items())
        yield SCHEMA, f"events that cannot be read: {listed}. The engine may be newer than this picker"
    if counters.restarts >= FREQUENT_RESTARTS:
        yield RESTARTS, f"the publisher restarted {counters.restarts} times; each time all its blocks were dropped"
    if followed.is_believed and not followed.is_complete:
        yield HISTORY, f"{_UNTOLD} What was sent to it counts, too. {_ASK_FOR_REPLAYS}"


def _of_content(followed: Followed, endpoint: Endpoint) -> Iterable[tuple[str, str]]:
    blocks, metrics = followed.blocks, endpoint.metrics
    silent = not followed.stream.counters.batches and followed.stream.state is StreamState.LIVE
    if silent and metrics.prefix_cache_queries >= MIN_LOOKED_UP_TOKENS:
        looked_up = f"the engine looked up {metrics.prefix_cache_queries:.0f} prompt tokens and announced no block"
        yield NO_EVENTS, f"{looked_up}. Is prefix caching on, and are prompts longer than a block?"
    announced, reported = blocks.block_size, metrics.cache_block_size
    if announced and reported and announced != reported:
        yield BLOCK_SIZE, f"events have blocks of {announced} tokens, metrics say {reported}; the events count"
    skipped = {
        reason: count for reason, count in blocks.skipped.items() if reason in _STRANGE and count > blocks.stored
    }
    for reason, count in skipped.items():
        yield SCHEMA, f"{count} announced blocks were passed over: {_STRANGE[reason]}"


_STRANGE = {
    "other-attention": "none of them belongs to layers with full attention",
    "unknown-medium": "they lie in memory that kvCacheBackendConfigs does not name",
    "token-count": "their number does not fit the number of their tokens",
    "unknown-parent": "the blocks before them were never announced",
}


def figures(index: EngineIndex) -> Mapping[str, Mapping[str, Figure]]:
    """The state of the events of each endpoint that is followed."""
    return {name: _figures(followed) for name, followed in index.followed.items()}


def _figures(followed: Followed) -> Mapping[str, Figure]:
    counters, blocks = followed.stream.counters, followed.blocks
    return {
        "stream": str(followed.stream.state),
        "events": counters.batches,
        "blocks": blocks.blocks,
        "block_size": blocks.block_size,
        "history": "complete" if followed.is_complete else "in part",
        "gaps": counters.gaps,
        "restarts": counters.restarts,
        "resets": counters.resets,
        "last_reset": followed.stream.reason,
        "undecodable": sum(counters.undecodable.values()),
        "skipped": blocks.skipped.total(),
    }
