"""Builds requests that wait, and generates them."""

from hypothesis import strategies as st

from turnout.framework import NEVER, PROMPT, CycleState, InferenceRequest, Prompt, QueuedRequest


def queued(
    request_id: str = "r",
    *,
    priority: int = 0,
    enqueued_at: float = 0.0,
    deadline: float = NEVER,
    prompt_tokens: int | None = None,
    max_output_tokens: int | None = None,
    ttft_target: float | None = None,
) -> QueuedRequest:
    """A request that was received when it was queued; without prompt tokens no parser has read its body."""
    request = InferenceRequest(
        request_id,
        priority=priority,
        received_at=enqueued_at,
        max_output_tokens=max_output_tokens,
        ttft_target=ttft_target,
    )
    state = CycleState(enqueued_at)
    if prompt_tokens is not None:
        state.write(PROMPT, Prompt(b"", prompt_tokens))
    return QueuedRequest(request, enqueued_at, deadline, state)


any_queued = st.builds(
    queued,
    priority=st.integers(-200, 200),
    enqueued_at=st.floats(0.0, 1e6),
    prompt_tokens=st.none() | st.integers(0, 10**7),
    max_output_tokens=st.none() | st.integers(-10, 10**7),
    ttft_target=st.none() | st.floats(1e-6, 1e300),
)
