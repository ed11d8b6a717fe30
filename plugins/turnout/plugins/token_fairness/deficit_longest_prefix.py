"""Fair queueing by cost in rounds, in each of which the longest known prefix goes first."""

from collections.abc import Iterable, Mapping

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    FlowHead,
    FlowRank,
    InferenceRequest,
    PluginName,
    QueuedRequest,
    Reading,
    Refusal,
    Response,
    ResponseChunk,
)
from turnout.plugins.token_fairness.known_prefixes import KnownPrefixes
from turnout.plugins.token_fairness.ledger import Ledger
from turnout.plugins.token_fairness.parameters import CostParameters, within

DEFAULT_NAME = PluginName("deficit-longest-prefix-fairness-policy")

# Of 16 digits, from which the numbers of prompts are counted down: texts that are ordered as numbers are.
_END_OF_NUMBERS = 10**16 - 1


class DeficitLongestPrefixFairnessPolicy:
    """Deficit longest prefix match (Cao et al., arXiv 2501.14312): locality within fair shares.

    Tenants are charged as by ``TokenFairnessPolicy``, with the same parameters. Each gets ``quantum`` tokens times its
    weight in a round; those in the lowest round go first, and of them the one whose next prompt has the most tokens in
    common with the beginning of one that was dispatched a while ago; of equals the one whose beginning was used last,
    so a tenant goes on while its prompts begin alike. The paper fills up deficits round after round; here the round is
    what the tenant got by its weight, divided by the quantum, so there is nothing to fill up.

    What prompts have in common is known in blocks of ``block_bytes`` bytes, of each prompt the first ``max_blocks``, of
    all the latest ``known_blocks`` (about 150 bytes each): as many as the engines' caches hold together is a good
    number. It is looked up when a flow gets another head; what is dispatched after that does not move the head.

    The bound: of two tenants that both have requests waiting, neither gets more than the other, in tokens by weight, by
    more than two quanta and what is allowed by ``TokenFairnessPolicy``, on the same conditions. The proof is in
    ``counters``.

    Raises:
        ValueError: a parameter is out of its range.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        quantum: int = 16_384,
        weights: Mapping[str, float] | None = None,
        default_weight: float = 1.0,
        output_weight: float = 2.0,
        expected_output_tokens: int = 256,
        count_cached_tokens: bool = True,
        max_tenants: int = 10_000,
        read_usage: bool = True,
        block_bytes: int = 1024,
        max_blocks: int = 128,
        known_blocks: int = 65_536,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        within("quantum", quantum, 1, 1_000_000_000)
        parameters = CostParameters(
            weights or {}, default_weight, output_weight, expected_output_tokens, count_cached_tokens, max_tenants
        )
        self._quantum = quantum
        self._ledger = Ledger(parameters, name, quantum)
        self._prefixes = KnownPrefixes(block_bytes, max_blocks, known_blocks)
        self.needs_response_body = read_usage

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        """The tenant's round, the known tokens of its next prompt, and when they were used last."""
        round_number = self._ledger.tag(flow, now) // self._quantum
        known = self._prefixes.of(flow.head.request, flow.head.state)
        return (round_number, -known.tokens, f"{_END_OF_NUMBERS - known.last_use:016d}")

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Charges the estimated cost and remembers the prompt."""
        self._ledger.dispatched(item, priority, now)
        self._prefixes.remember(item.request, item.state)

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """Nothing: bodies have to pass so that the usage in them is read."""

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Corrects the charge."""
        self._ledger.completed(state, completion)

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """Gives the charge back, if the request was dispatched from the queue before it was refused."""
        self._ledger.given_up(state)

    def readings(self) -> Iterable[Reading]:
        """Charged and corrected tokens of the largest 50 tenants, and of all others together."""
        return self._ledger.readings()
