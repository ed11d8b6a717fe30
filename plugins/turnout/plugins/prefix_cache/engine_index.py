"""What is known of every endpoint's cache from the events of its engine: who is followed, believed, and holds what."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnout.framework import Endpoint
from turnout.plugins.prefix_cache.engine_blocks import EngineBlocks, KnownAdapters
from turnout.plugins.prefix_cache.event_stream import Action, Apply, EventStream, Position, Reset, StreamState
from turnout.plugins.prefix_cache.held import HeldBlocks, Match
from turnout.plugins.prefix_cache.publishers import Publisher
from turnout.plugins.prefix_cache.tiers import Tiers

MAX_BLOCK_SIZES = 4
"""Different block sizes of engines that are looked up for one request; each costs a chain of hashes."""


@dataclass(slots=True)
class Followed:
    """One endpoint whose events are read. ``problem`` is why its sockets cannot be used, empty if they can.

    ``lives`` is what ``EngineIndex`` knows of how often the cache was emptied.
    """

    publisher: Publisher
    stream: EventStream
    blocks: EngineBlocks
    problem: str = ""
    lives: tuple[int, int] = (0, 0)

    @property
    def is_believed(self) -> bool:
        """Whether what the events told is what the engine holds, as far as they told it."""
        return self.stream.state is StreamState.LIVE

    @property
    def is_complete(self) -> bool:
        """Whether, besides, there are no blocks that the events never told of."""
        return self.is_believed and self.knows_all

    @property
    def knows_all(self) -> bool:
        """Whether the events told of every block, if they are believed."""
        return self.stream.history_complete or self.blocks.is_all_told


@dataclass(frozen=True, slots=True)
class Restored:
    """What a publisher had announced, up to a place in its stream, in an earlier life of this process."""

    publisher: Publisher
    blocks: EngineBlocks
    position: Position


@dataclass(slots=True)
class _Expectation:
    expires_at: float
    blocks: EngineBlocks
    keys: Sequence[int]


class EngineIndex:
    """The index over all endpoints that are followed.

    ``adapters`` are the names of LoRA adapters that events mentioned. Everything is bounded: blocks by
    ``max_blocks``, expected blocks by their time to live, endpoints by the pool.
    """

    def __init__(self, tiers: Tiers, max_blocks: int) -> None:
        self.held = HeldBlocks(tiers.weights, max_blocks)
        self.adapters = KnownAdapters()
        self.followed: dict[str, Followed] = {}
        self._tiers = tiers
        self._expected: deque[_Expectation] = deque()
        self._restored: dict[str, Restored] = {}
        self._emptied: set[str] = set()

    def blocks_of(self, name: str) -> EngineBlocks:
        """Room for the blocks of an endpoint."""
        return EngineBlocks(name, self.held, self._tiers, self.adapters)

    def restored(self, name: str, restored: Restored) -> None:
        """Keeps this until endpoints are followed the next time; then it is used, or dropped."""
        self._restored[name] = restored

    def follow(self, publishers: Mapping[str, Publisher], now: float) -> None:
        """Follows these endpoints, by name, and no others. One whose publisher stays keeps all that is known of it."""
        for name in [name for name, known in self.followed.items() if publishers.get(name) != known.publisher]:
            self.followed.pop(name).blocks.close()
        for name, publisher in publishers.items():
            if name not in self.followed:
                self.followed[name] = self._begun(name, publisher, now)
        for restored in self._restored.values():
            restored.blocks.close()
        self._restored.clear()

    def _begun(self, name: str, publisher: Publisher, now: float) -> Followed:
        restored = self._restored.get(name)
        if restored is None or restored.publisher != publisher:
            return Followed(publisher, EventStream(can_replay=publisher.can_replay, now=now), self.blocks_of(name))
        del self._restored[name]
        stream = EventStream(can_replay=publisher.can_replay, now=now, resume=restored.position)
        return Followed(publisher, stream, restored.blocks)

    def act(self, followed: Followed, actions: Sequence[Action]) -> None:
        """Does what the endpoint's stream asks of the index."""
        for action in actions:
            match action:
                case Apply():
                    followed.blocks.apply(action.batch)
                case Reset():
                    followed.blocks.reset()
                    if followed.stream.state is StreamState.LOST:
                        self._emptied.add(followed.blocks.endpoint)
                case _:
                    pass  # replays are the sockets' part
        lives = (followed.stream.counters.restarts, followed.blocks.clears)
        if lives != followed.lives:
            followed.lives = lives
            self._emptied.add(followed.blocks.endpoint)

    def take_emptied(self) -> Iterable[str]:
        """Names of endpoints whose cache was emptied since this was last asked.

        Their engines cleared it, began anew, or are gone: a publisher that cannot be reached for long is taken for one.
        """
        if not self._emptied:
            return ()
        emptied, self._emptied = self._emptied, set()
        return emptied

    # --- expected blocks ---------------------------------------------------------------------------------

    def expect(self, endpoint: Endpoint, keys: Sequence[int], expires_at: float) -> None:
        """Counts blocks as held by an endpoint that is followed, until its engine announces or clears them, or then.

        ``expires_at`` must not lie before that of an earlier call.
        """
        followed = self.followed.get(endpoint.name)
        if followed is not None and keys and followed.blocks.expect(keys, expires_at):
            self._expected.append(_Expectation(expires_at, followed.blocks, keys))

    def expire(self, now: float) -> None:
        """Drops what was expected until now."""
        while self._expected and self._expected[0].expires_at <= now:
            ended = self._expected.popleft()
            ended.blocks.expire(ended.keys, now)

    # --- looking up --------------------------------------------------------------------------------------

    def block_sizes(self, endpoints: Sequence[Endpoint]) -> Sequence[int]:
        """The block sizes of these endpoints' engines, where they are believed, in tokens; the 4 most frequent."""
        followed = self.followed
        sizes = Counter(
            known.blocks.block_size
            for endpoint in endpoints
            if (known := followed.get(endpoint.name)) is not None and known.is_believed
        )
        del sizes[0]  # nothing announced yet
        return [size for size, _ in sizes.most_common(MAX_BLOCK_SIZES)]

    def match(self, chain: Sequence[int]) -> Mapping[str, Match]:
        """For each endpoint that holds the first block of the chain, how much of it it holds."""
        return self.held.match(chain)
