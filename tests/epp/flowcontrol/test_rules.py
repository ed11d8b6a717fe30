import pytest

from epp.flowcontrol.fakes import request
from turnout.config import LaneSettings
from turnout.epp.flowcontrol.rules import MAX_SUBSETS, LaneBook, served_by
from turnout.framework import Headers
from turnout.framework.testing import make_endpoint

SMALL = LaneSettings("small", frozenset({"m1", "m2"}), (), {}, {"size": "s"})
EMBED = LaneSettings("embed", frozenset(), ("embeddings",), {"x-tier": "bulk"}, {"role": "embed", "size": "s"})
ENDPOINTS = (
    make_endpoint("a", labels={"size": "s"}),
    make_endpoint("b", labels={"size": "s", "role": "embed"}),
    make_endpoint("c"),
)


@pytest.mark.parametrize(
    ("model", "path", "tier", "lane", "names"),
    [
        pytest.param("m1", "/v1/completions", None, "rule small", "ab", id="one of the models"),
        pytest.param("x", "/v1/embeddings", "bulk", "rule embed", "b", id="path and header"),
        pytest.param("x", "/v1/embeddings", None, "all", "abc", id="the header is missing"),
        pytest.param("x", "/v1/myembeddings", "bulk", "all", "abc", id="a path is matched by whole segments"),
        pytest.param("m2", "/v1/embeddings", "bulk", "rule small", "ab", id="the first rule that matches"),
    ],
)
def test_a_lane_is_what_a_rule_matches(model: str, path: str, tier: str | None, lane: str, names: str) -> None:
    book = LaneBook((SMALL, EMBED), strict=False)
    headers = Headers([] if tier is None else [("x-tier", tier)])
    sent = request(target_model=model, path=path, headers=headers)
    assert book.lane_of(sent, None) == lane
    found = book.endpoints(lane, ENDPOINTS)
    assert [endpoint.name for endpoint in found] == [f"default/{name}" for name in names]
    assert book.endpoints(lane, ENDPOINTS) is found


def test_with_strict_order_there_is_one_lane() -> None:
    book = LaneBook((SMALL,), strict=True)
    assert book.lane_of(request(target_model="m1"), ("10.0.0.1:80",)) == "all"
    assert book.rule_of(request(target_model="m1")) is None
    assert book.endpoints("all", ENDPOINTS) is ENDPOINTS


def test_subsets_are_lanes_of_their_own_up_to_a_bound() -> None:
    book = LaneBook((), strict=False)
    first = book.lane_of(request(), (ENDPOINTS[0].host_port,))
    assert book.endpoints(first, ENDPOINTS) == (ENDPOINTS[0],)
    names = {book.lane_of(request(), (f"10.0.0.{number}:80",)) for number in range(1000)}
    assert len(names) == MAX_SUBSETS
    assert "all" in names
    assert book.lane_of(request(), None) == "all"


def test_an_endpoint_needs_every_label_of_the_rule() -> None:
    assert served_by(EMBED, ENDPOINTS) == (ENDPOINTS[1],)
