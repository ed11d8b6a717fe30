import pytest

from turnout.plugins.topology.throttling import reasons


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        pytest.param(0x0, (), id="nothing"),
        pytest.param(0x1, (), id="idle"),
        pytest.param(0x2, (), id="clocks that somebody set"),
        pytest.param(0x4, ("power",), id="the power cap"),
        pytest.param(0x80 | 0x8, ("power", "hardware"), id="the power brake"),
        pytest.param(0x20, ("thermal",), id="heat, by the driver"),
        pytest.param(0x40 | 0x4, ("power", "thermal"), id="heat, by the board, and power"),
    ],
)
def test_bits_of_the_driver_have_words(bits: int, words: tuple[str, ...]) -> None:
    assert reasons(bits) == words
