import pytest

from turnout.epp.simulator.timing import StepTiming


@pytest.mark.parametrize(
    ("cached", "new", "milliseconds"),
    [
        pytest.param(0, 512, 12.0, id="512 tokens"),
        pytest.param(0, 1_024, 22.1, id="1,024 tokens"),
        pytest.param(0, 2_048, 43.5, id="2,048 tokens"),
        pytest.param(0, 4_096, 90.1, id="4,096 tokens"),
        pytest.param(0, 8_192, 199.7, id="8,192 tokens"),
        pytest.param(0, 16_384, 440.2, id="16,384 tokens"),
        pytest.param(0, 32_768, 1_082.0, id="32,768 tokens"),
        pytest.param(4_096, 4_096, 103.5, id="half of 8,192 tokens cached"),
        pytest.param(6_144, 2_048, 53.4, id="three quarters of 8,192 tokens cached"),
        pytest.param(7_680, 512, 14.9, id="all but 512 of 8,192 tokens cached"),
        pytest.param(28_672, 4_096, 182.6, id="all but 4,096 of 32,768 tokens cached"),
    ],
)
def test_a_prefill_takes_what_the_reference_table_says_within_3_6_percent(
    cached: int, new: int, milliseconds: float
) -> None:
    seconds = StepTiming().step_seconds([(cached, new)], decodes=0, context_tokens=0)
    assert seconds * 1_000 == pytest.approx(milliseconds, rel=0.036)


@pytest.mark.parametrize(
    ("batch", "context", "milliseconds"),
    [
        pytest.param(1, 512, 6.2, id="1 sequence of 512 tokens"),
        pytest.param(16, 512, 7.0, id="16 sequences of 512 tokens"),
        pytest.param(256, 512, 15.0, id="256 sequences of 512 tokens"),
        pytest.param(8, 2_048, 7.3, id="8 sequences of 2,048 tokens"),
        pytest.param(64, 2_048, 12.6, id="64 sequences of 2,048 tokens"),
        pytest.param(256, 2_048, 30.8, id="256 sequences of 2,048 tokens"),
        pytest.param(32, 8_192, 17.8, id="32 sequences of 8,192 tokens"),
        pytest.param(256, 8_192, 95.7, id="256 sequences of 8,192 tokens"),
    ],
)
def test_a_decode_step_takes_what_the_reference_table_says_within_8_4_percent(
    batch: int, context: int, milliseconds: float
) -> None:
    seconds = StepTiming().step_seconds([], decodes=batch, context_tokens=batch * context)
    assert seconds * 1_000 == pytest.approx(milliseconds, rel=0.084)


def test_a_short_prefill_costs_at_least_reading_the_weights() -> None:
    assert StepTiming().step_seconds([(0, 1)], decodes=0, context_tokens=0) == pytest.approx(0.00636)


def test_decodes_in_a_mixed_step_hide_the_weights_behind_the_prefill() -> None:
    seconds = StepTiming().step_seconds([(0, 1_000)], decodes=10, context_tokens=10_000)
    assert seconds == pytest.approx(0.001 * (1.5 + 20.0 + 0.406 + 0.127 + 0.414))
