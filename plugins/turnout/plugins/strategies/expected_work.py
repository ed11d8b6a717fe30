"""How much work a request is, as far as that is known before it runs."""

from turnout.framework import PROMPT, Prompt, QueuedRequest

DEFAULT_OUTPUT_TOKENS = 256


def prompt_tokens(item: QueuedRequest) -> int:
    """Tokens of the prompt; 0 where no parser found one."""
    return max(0, item.state.get(PROMPT, Prompt()).tokens)


def two_bands(priority: int) -> int:
    """Band 0 for all priorities but negative ones, which wait in band -1 behind all others."""
    return 0 if priority >= 0 else -1
