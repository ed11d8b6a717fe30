from itertools import repeat

import pytest

from turnout.epp.demo.overload.engines import SERVERS, SLOTS, TIME_SCALE, capacity, server_arguments
from turnout.epp.demo.overload.workload import Arrival, requests
from turnout.epp.simulator.timing import StepTiming


def test_each_server_has_a_seed_of_its_own_and_the_same_engine() -> None:
    arguments = server_arguments(10)
    assert len(arguments) == SERVERS
    assert [words[1] for words in arguments] == ["10", "11", "12", "13"]
    assert {tuple(words[2:]) for words in arguments} == {("--max-num-seqs", "16", "--time-scale", "2.0")}


def test_the_capacity_of_answers_without_prompts_is_that_of_full_decode_steps() -> None:
    alike = (Arrival(number, 0.0, "low", "acme", 1, 100) for number in range(600))
    # 16 sequences with 50 tokens of context on average; a new one costs a step of its own nothing worth mentioning.
    step = TIME_SCALE * StepTiming().step_seconds((), SLOTS, SLOTS * 50)
    assert capacity(alike) == pytest.approx(SERVERS * SLOTS / (100 * step), rel=0.02)


def test_prompts_take_from_the_capacity() -> None:
    short, long = (
        capacity(Arrival(n, 0.0, "low", "acme", size, 100) for n, _ in enumerate(repeat(0, 600)))
        for size in (100, 2_000)
    )
    assert long < 0.8 * short


def test_the_capacity_for_a_mix_is_the_same_each_time_and_hardly_depends_on_the_seed() -> None:
    assert capacity(requests(0)) == capacity(requests(0))
    assert capacity(requests(1)) == pytest.approx(capacity(requests(0)), rel=0.05)
