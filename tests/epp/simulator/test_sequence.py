from array import array

import pytest

from turnout.epp.simulator.sequence import GenerationRequest, Sequence


@pytest.mark.parametrize(
    ("prompt", "output"),
    [pytest.param([], [1], id="empty prompt"), pytest.param([1], [], id="empty output")],
)
def test_a_request_needs_a_prompt_and_an_output(prompt: list[int], output: list[int]) -> None:
    with pytest.raises(ValueError, match="request 'r': prompt and output need at least one token each"):
        GenerationRequest("r", array("I", prompt), array("I", output))


def test_a_new_sequence_knows_its_prompt_and_the_hashes_of_its_full_blocks() -> None:
    request = GenerationRequest("r", array("I", range(9)), array("I", [1, 2]))
    sequence = Sequence(request, "model", 4, now=1.0)
    assert (sequence.known, sequence.computed, len(sequence.hashes), len(sequence.tokens)) == (9, 0, 2, 11)


def test_restarting_keeps_what_was_generated() -> None:
    sequence = Sequence(GenerationRequest("r", array("I", range(9)), array("I", [1, 2])), "model", 4, now=1.0)
    sequence.known, sequence.computed, sequence.decoding = 10, 9, True
    sequence.restart()
    assert (sequence.known, sequence.computed, sequence.decoding) == (10, 0, False)
