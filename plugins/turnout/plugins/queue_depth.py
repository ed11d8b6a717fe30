"""Prefers endpoints with little work: short queues, or few running requests."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores


class QueueScorer:
    """Scores the shortest waiting queue 1 and the longest 0; a tie scores 1."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return _fewest_first([endpoint.metrics.waiting_queue_size for endpoint in endpoints])


class RunningRequestsSizeScorer:
    """Scores the fewest running requests 1 and the most 0; a tie scores 1."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return _fewest_first([endpoint.metrics.running_requests for endpoint in endpoints])


def _fewest_first(counts: Sequence[int]) -> Scores:
    fewest, most = min(counts), max(counts)
    if fewest == most:
        return [1.0] * len(counts)
    spread = most - fewest
    return [(most - count) / spread for count in counts]
