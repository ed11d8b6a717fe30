"""Keep the endpoints that take part in a stage, by their label ``llm-d.ai/role``."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest

ROLE_LABEL = "llm-d.ai/role"

DECODE_ROLES = frozenset({"decode", "prefill-decode", "both", "encode-prefill-decode"})
PREFILL_ROLES = frozenset({"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"})
ENCODE_ROLES = frozenset({"encode", "encode-prefill", "encode-prefill-decode"})


class DecodeFilter:
    """Keeps endpoints that decode, and those without a role."""

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [
            endpoint
            for endpoint in endpoints
            if (role := endpoint.labels.get(ROLE_LABEL)) is None or role in DECODE_ROLES
        ]


class PrefillFilter:
    """Keeps endpoints that compute prompts for others."""

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.labels.get(ROLE_LABEL) in PREFILL_ROLES]


class EncodeFilter:
    """Keeps endpoints that encode images, videos and sound for others."""

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.labels.get(ROLE_LABEL) in ENCODE_ROLES]
