"""Which headers of a request change: the decision is added, what only the gateway may say is taken away."""

from collections.abc import Mapping
from typing import Final

from turnout.epp.extproc.values import Mutation
from turnout.epp.requests.exchange import Routed
from turnout.epp.wire_names import CONTROL_HEADERS, DESTINATION, SINGLE_ATTEMPT
from turnout.framework import Headers

CONTENT_LENGTH: Final = "content-length"


def control_headers_in(headers: Headers) -> tuple[str, ...]:
    """The control headers that the client sent, each once, in order of arrival."""
    return tuple(dict.fromkeys(name for name, _ in headers if name in CONTROL_HEADERS))


def control_headers_removed(headers: Headers) -> Mutation:
    """What can be done before there is a decision."""
    return Mutation(remove_headers=control_headers_in(headers))


def decision_applied(headers: Headers, routed: Routed) -> Mutation:
    """Sets destination, decided headers that differ and the length of a replaced body; removes control headers."""
    setting = {
        name: value
        for name, value in _changed(headers, routed.set_headers).items()
        if name not in (DESTINATION, CONTENT_LENGTH)
    }
    setting[DESTINATION] = routed.destination
    if routed.body is not None:
        setting[CONTENT_LENGTH] = str(len(routed.body))
    return Mutation(setting, tuple(name for name in control_headers_in(headers) if name not in setting))


def without_retries(mutation: Mutation) -> Mutation:
    """Asks the gateway for one attempt only.

    Where a route has a retry policy, Envoy 1.40 sends a full duplex body that ends in trailers to the endpoint twice
    (envoyproxy/envoy#45470).
    """
    kept = tuple(name for name in mutation.remove_headers if name != SINGLE_ATTEMPT)
    return Mutation({**mutation.set_headers, SINGLE_ATTEMPT: "true"}, kept)


def response_changes(headers: Headers, wanted: Mapping[str, str], *, drop_length: bool) -> Mutation:
    """Sets what differs; the length goes when the body may be replaced by one of another length."""
    remove = (CONTENT_LENGTH,) if drop_length and CONTENT_LENGTH in headers else ()
    return Mutation(_changed(headers, wanted), remove)


def _changed(headers: Headers, wanted: Mapping[str, str]) -> dict[str, str]:
    # A control header of the client's may have been removed with an earlier reply, so it is set in any case.
    lowered = ((name.lower(), value) for name, value in wanted.items())
    return {name: value for name, value in lowered if name in CONTROL_HEADERS or headers.all(name) != (value,)}
