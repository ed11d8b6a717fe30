"""Treats all flows of a priority as one."""

from turnout.framework import FlowHead, FlowRank


class GlobalStrictFairnessPolicy:
    """The best head of all flows goes next, as the ordering policy ranks them."""

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        return flow.head_rank, 0.0, ""
