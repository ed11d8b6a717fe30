"""Weighted fair queueing of tenants by what their requests cost in tokens."""

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
from turnout.plugins.token_fairness.ledger import Ledger
from turnout.plugins.token_fairness.parameters import CostParameters

DEFAULT_NAME = PluginName("token-fairness-policy")


class TokenFairnessPolicy:
    """The tenant goes next that got least: input tokens and ``output_weight`` times output tokens, by its weight.

    A tenant is a fairness id. It gets its weight's share (``weights`` by id, ``default_weight`` for all others, from
    1e-6 to 1e6) of what the band of one priority gets, as long as it has requests waiting. One that comes back begins
    where the others are; what it did not use is gone.

    A dispatch is charged its estimated cost: the prompt's tokens, and as output the mean of the tenant's latest answers
    (``expected_output_tokens`` before the first), at most what the request allows. At its end the charge is corrected
    by the usage that the engine reports; without usage the estimate stands, and a request that is refused after its
    dispatch gets all back. With ``count_cached_tokens`` false, prompt tokens that the engine had cached cost nothing.
    With ``read_usage`` false response bodies pass the picker only if another plugin needs them, and then there may be
    no usage.

    The bound: of two tenants that both have requests waiting, neither gets more than the other, in tokens by weight, by
    more than the largest cost of a request of each and, for each, the largest change of the sum of errors of the
    estimates of its requests in flight; in any interval, and no matter what others do. So exact estimates differ by
    at most l_f/w_f + l_g/w_g. The rank of a flow holds until it has another head, so a correction takes effect with the
    next one; that is in the bound, which is proved in ``counters``. It holds for requests that leave in the order of
    rank: not for overdue ones, and not between lanes. A flow whose requests are withdrawn may lose what it was to get
    back.

    Remembers, over all bands, the ``max_tenants`` tenants that are farthest ahead of their share or have requests in
    flight, and the mean answers of as many: about 500 bytes each.

    Raises:
        ValueError: a parameter is out of its range.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        default_weight: float = 1.0,
        output_weight: float = 2.0,
        expected_output_tokens: int = 256,
        count_cached_tokens: bool = True,
        max_tenants: int = 10_000,
        read_usage: bool = True,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        parameters = CostParameters(
            weights or {}, default_weight, output_weight, expected_output_tokens, count_cached_tokens, max_tenants
        )
        self._ledger = Ledger(parameters, name)
        self.needs_response_body = read_usage

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        """What the tenant got, by its weight, at least as much as who was dispatched last."""
        return (self._ledger.tag(flow, now), 0.0, "")

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Charges the estimated cost."""
        self._ledger.dispatched(item, priority, now)

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
