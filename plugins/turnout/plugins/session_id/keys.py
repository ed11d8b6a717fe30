"""What producers of session ids publish about a request."""

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "session-id-producer"

# Clients choose their ids; this bounds what a remembered one can cost.
MAX_SESSION_ID_CHARACTERS = 256

SESSION_ID: KeyFamily[str] = KeyFamily("session-id", DEFAULT_PRODUCER)
"""At most 256 characters; empty for a request without an id, or with a longer one."""
