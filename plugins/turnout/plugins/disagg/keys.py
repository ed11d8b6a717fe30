"""What plugins say to each other about a request that several endpoints work on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnout.framework import Endpoint, KeyFamily, StateKey

DEFAULT_HANDLER = "disagg-profile-handler"

Decision: TypeAlias = Callable[[Endpoint], bool]
"""Whether a stage shall run, given the endpoint that was picked first for the request."""


@dataclass(frozen=True, slots=True)
class ReasonedDecision:
    """A decision that can say why in a few words, which is asked for once for each request."""

    decide: Decision
    reason: Callable[[Endpoint], str]

    def __call__(self, endpoint: Endpoint) -> bool:
        return self.decide(endpoint)


DISAGG_DECISION: KeyFamily[Decision] = KeyFamily("disagg-decision", "prefix-based-pd-decider")
"""Published by deciders for each request, asked for by the profile handler in the cycle."""

PEER_ENDPOINT: KeyFamily[Endpoint] = KeyFamily("peer-endpoint", DEFAULT_HANDLER)
"""The endpoint that was picked before; there from the second stage of a cycle on."""

Stage: TypeAlias = Literal["encode", "prefill", "decode"]

PEER_STAGE: KeyFamily[Stage] = KeyFamily("peer-stage", DEFAULT_HANDLER)
"""Which stage the endpoint under ``PEER_ENDPOINT`` was picked for."""

KV_TRANSFER_SECONDS: StateKey[float] = StateKey("kv-transfer-seconds")
"""How long the KV cache of a dispatched request is expected to take to where it is decoded; left by who knows it."""

PREFILL_PROFILE: StateKey[str] = StateKey("prefill-profile")
"""The profile of the result whose endpoint prefills; where no handler says it, that is ``prefill``."""
