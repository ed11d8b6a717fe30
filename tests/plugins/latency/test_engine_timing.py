import numpy as np
import pytest

from turnout.plugins.latency.engine_timing import EngineTiming


@pytest.mark.parametrize(
    ("uncached", "prompt", "milliseconds"),
    [
        pytest.param(1024, 1024, 22.1, id="one step"),
        pytest.param(8192, 8192, 199.7, id="several steps, each with its start"),
        pytest.param(4096, 8192, 103.5, id="half of the prompt is cached"),
        pytest.param(0, 8192, 6.36, id="all of it is: the last token is computed in a step as any"),
    ],
)
def test_a_prefill_takes_what_the_tables_of_the_h100_say(uncached: int, prompt: int, milliseconds: float) -> None:
    least, beyond = EngineTiming().prefill_seconds(np.array([float(uncached)]), prompt)
    assert (least + beyond).tolist() == [pytest.approx(milliseconds / 1000, rel=0.05)]


def test_a_batch_adds_for_each_sequence_and_its_context() -> None:
    (seconds,) = EngineTiming().batch_seconds(np.array([64.0]), np.array([64 * 2048.0]))
    assert 6.36e-3 + seconds == pytest.approx(12.6e-3, rel=0.05)


def test_a_prompt_is_computed_in_chunks() -> None:
    assert EngineTiming(prefill_chunk_tokens=1000).steps(np.array([0.0, 1000.0, 1001.0])).tolist() == [1.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"weights_ms": -1.0}, "weights_ms must be at least 0 and finite, got -1.0", id="negative"),
        pytest.param({"overhead_ms": float("nan")}, "overhead_ms must be at least 0 and finite, got nan", id="NaN"),
        pytest.param({"prefill_chunk_tokens": 0}, "must be above 0, got 6.36 and 0", id="no chunk"),
    ],
)
def test_figures_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineTiming(**wrong)  # type: ignore[arg-type]
