"""How long a client is willing to let its request wait."""

import math

from turnout.epp.wire_names import QUEUE_TIMEOUT
from turnout.framework import NEVER, InferenceRequest, Refusal, RefusalKind

_LONGEST_NUMBER = 32


def deadline_of(request: InferenceRequest) -> float | Refusal:
    """When the request is to be refused if it still waits, by its own header; infinity if it does not say.

    The header counts milliseconds from the arrival of the request. None left, or less, is a deadline in the past.
    """
    stated = request.headers.get(*QUEUE_TIMEOUT)
    if stated is None:
        return NEVER
    try:
        milliseconds = float(stated) if len(stated) <= _LONGEST_NUMBER else math.nan
    except ValueError:
        milliseconds = math.nan
    if math.isnan(milliseconds):
        shown = stated[:_LONGEST_NUMBER]
        return Refusal(
            RefusalKind.BAD_REQUEST, f"the header {QUEUE_TIMEOUT[0]} is {shown!r}, no number of milliseconds"
        )
    return request.received_at + max(0.0, milliseconds) / 1000.0
