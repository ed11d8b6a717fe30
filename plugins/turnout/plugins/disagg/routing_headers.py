"""The headers that tell the decoding engine who computes the prompt, and who encodes images."""

from collections.abc import Mapping

from turnout.framework import CycleState, InferenceRequest, SchedulingResult

PREFILLER = "x-prefiller-host-port"
ENCODERS = "x-encoder-hosts-ports"


def routing_headers(result: SchedulingResult, prefill_profile: str, encode_profile: str) -> dict[str, str]:
    """The first endpoint of the prefill profile, and all of the encode profile, where they ran."""
    headers = {}
    for header, profile, most in ((PREFILLER, prefill_profile, 1), (ENCODERS, encode_profile, None)):
        found = result.profiles.get(profile)
        if found is not None and profile != result.primary:
            headers[header] = ",".join(endpoint.host_port for endpoint in found.picked[:most])
    return headers


class DisaggHeadersHandler:
    """Sets the headers for results of a profile handler that does not; ``disagg-profile-handler`` does so itself."""

    def __init__(self, prefill_profile: str = "prefill", encode_profile: str = "encode") -> None:
        self._profiles = (prefill_profile, encode_profile)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> Mapping[str, str]:
        """Headers for the engine that decodes."""
        return routing_headers(result, *self._profiles)
