import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.topology.islands import GB, islands, site
from turnout.plugins.topology import distances as module
from turnout.plugins.topology.distances import Distances
from turnout.plugins.topology.keys import Place, Reach, Route
from turnout.plugins.topology.network import DEFAULT_NETWORK
from turnout.plugins.topology.sites import Site

MACHINE = islands()


def at(host: str, rack: str = "r1", gpus: str = "0") -> Site:
    return site(MACHINE, {"turnout/gpus": gpus}, Place(host, rack, "z"))


def pool() -> Distances:
    known = Distances(DEFAULT_NETWORK)
    for name, where in {
        "a": at("h1"),
        "b": at("h1", gpus="1"),
        "c": at("h1", gpus="2"),
        "d": at("h2"),
        "e": at("h3", "r2"),
    }.items():
        known.place(name, where)
    return known


def test_the_ways_from_one_endpoint_to_all_others() -> None:
    routes = pool().routes("a")
    assert [routes(name) for name in "bcde"] == [
        Route(Reach.NVLINK, 100.0 * GB, 5e-6, True, True),
        Route(Reach.NODE, 32.0 * GB, 2e-5, False, True),
        Route(Reach.RACK, 25.0 * GB, 2e-5),
        Route(Reach.ZONE, 12.5 * GB, 2e-4),
    ]


def test_nobody_knows_the_way_to_or_from_a_stranger() -> None:
    known = pool()
    assert known.routes("a")("x") is None
    assert known.routes("x")("a") is None
    known.place("x", site(None, {"gpu-type": "h100"}, Place()))
    assert known.routes("a")("x") is None
    assert known.routes("x")("a") is None


def test_an_endpoint_that_moves_has_other_ways() -> None:
    known = pool()
    assert [known.routes("a")(name) is None for name in "bcde"] == [False] * 4
    known.place("a", at("h2", gpus="1"))
    assert [(route.reach if (route := known.routes("a")(name)) else None) for name in "bcde"] == [
        Reach.RACK,
        Reach.RACK,
        Reach.NVLINK,
        Reach.ZONE,
    ]
    known.place("a", None)
    assert known.routes("b")("a") is None


def test_hosts_of_one_name_in_two_racks_are_two() -> None:
    known = pool()
    known.place("f", at("h1", "r2", gpus="1"))
    found = known.routes("a")("f")
    assert found is not None
    assert found.reach is Reach.ZONE


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROUTES", 3)
    known = pool()
    for _ in range(3):
        for one in "abcde":
            for other in "abcde":
                assert known.routes(one)(other) == known.routes(other)(one)
    assert sum(map(len, known._near.values())) <= 3
    assert sum(map(len, known._far.values())) <= 3


def test_groups_of_endpoints_that_left_are_forgotten() -> None:
    known = Distances(DEFAULT_NETWORK)
    for number in range(500):
        known.place("a", at(f"h{number}", f"r{number}"))
        known.place("b", at("h", "r"))
        known.routes("a")("b")
    assert len(known._far) <= 70
    assert sum(map(len, known._far.values())) <= 1_100


def test_ways_to_groups_that_left_are_forgotten_by_one_that_stays() -> None:
    known = Distances(DEFAULT_NETWORK)
    known.place("b", at("h", "r"))
    for number in range(3_000):
        known.place("a", at(f"h{number}", f"r{number}"))
        known.routes("b")("a")
    assert sum(map(len, known._far.values())) <= 1_100


PLACES = st.builds(at, st.sampled_from(["h1", "h2"]), st.sampled_from(["r1", "r2"]), st.sampled_from(["0", "1", "0-3"]))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | PLACES), max_size=12))
def test_what_was_asked_before_never_shows(moves: list[tuple[str, Site | None]]) -> None:
    known = Distances(DEFAULT_NETWORK)
    last: dict[str, Site | None] = {}
    for name, where in moves:
        known.place(name, where)
        last[name] = where
        fresh = Distances(DEFAULT_NETWORK)
        for other, there in last.items():
            fresh.place(other, there)
        for one in "abc":
            for other in "abc":
                assert known.routes(one)(other) == fresh.routes(one)(other) == known.routes(other)(one)
    assert known._near_count == sum(map(len, known._near.values()))
