from itertools import islice

from turnout.epp.demo.topology.workload import Arrival, arrivals, requests


def test_a_faster_workload_is_the_same_requests_closer_together() -> None:
    slow, fast = arrivals(3, 5.0, 20.0), arrivals(3, 10.0, 20.0)
    assert [request.prompt_tokens for request in slow] == [request.prompt_tokens for request in fast][: len(slow)]
    assert [request.at for request in slow] == sorted(request.at for request in slow)
    assert slow[-1].at < 20.0


def test_another_seed_brings_other_requests() -> None:
    first, second = islice(requests(1), 20), islice(requests(2), 20)
    assert [request.prompt_tokens for request in first] != [request.prompt_tokens for request in second]


def test_prompts_of_a_group_begin_alike_and_end_differently() -> None:
    one, two = Arrival(1, 0.0, 5, 1_200, 20).prompt(7), Arrival(2, 0.0, 5, 1_300, 20).prompt(7)
    assert (len(one), len(two)) == (4 * 1_200, 4 * 1_300)
    assert one[: 4 * 512] == two[: 4 * 512]
    assert one[4 * 512 : 4 * 528] != two[4 * 512 : 4 * 528]
    assert Arrival(1, 0.0, 6, 1_200, 20).prompt(7)[:64] != one[:64]


def test_a_short_prompt_shares_half_of_itself() -> None:
    short, long = Arrival(1, 0.0, 5, 100, 20).prompt(7), Arrival(2, 0.0, 5, 1_200, 20).prompt(7)
    assert len(short) == 400
    assert short[:200] == long[:200]
    assert short[:264] != long[:264]


def test_requests_say_nothing_about_themselves_in_headers() -> None:
    assert next(requests(0)).headers == {}
