from collections.abc import Mapping

import pytest

from turnout.epp.doctor.examination import examine
from turnout.epp.doctor.pages import EndpointPage, FoundByPlugin, PickerPages, PluginPage
from turnout.framework import Figure

A, B = EndpointPage("default/a"), EndpointPage("default/b", in_service=False, reason="refused")
FULL: Mapping[str, Figure] = {
    "requests": 5,
    "predicted_cached_tokens": 100,
    "compared_requests": 5,
    "engine_hit_rate": 0.5,
}


def page(*findings: FoundByPlugin, **figures: Mapping[str, Figure]) -> PluginPage:
    return PluginPage(list(findings), {f"default/{name}": dict(own) for name, own in figures.items()})


def pages(types: Mapping[str, str] | None = None, **plugins: PluginPage) -> PickerPages:
    return PickerPages(plugins, [A, B], types or {})


def test_producers_are_known_by_their_type_or_by_their_figures() -> None:
    types = {"mine": "precise-prefix-cache-producer", "other": "token-producer"}
    found = examine(pages(types, mine=page(), other=page(a={"x": 1}), third=page(a=FULL)))
    assert [(producer.name, producer.type) for producer in found.producers] == [
        ("mine", "precise-prefix-cache-producer"),
        ("third", ""),
    ]


def test_a_picker_without_a_producer_is_a_finding() -> None:
    found = examine(pages(other=page(a={"x": 1})))
    assert ([finding.cause for finding in found.findings], found.count) == (["no-prefix-producer"], 1)


def test_a_picker_without_endpoints_is_a_finding() -> None:
    found = examine(PickerPages({"p": page(a=FULL)}, [], {}))
    assert [finding.cause for finding in found.findings] == ["no-endpoints"]


def test_every_endpoint_of_the_pool_and_of_the_figures_is_shown_with_what_speaks_against_them() -> None:
    (producer,) = examine(pages(p=page(a=FULL, gone=FULL))).producers
    assert [(endpoint.name, endpoint.note) for endpoint in producer.endpoints] == [
        ("default/a", ""),
        ("default/b", "out of service: refused"),
        ("default/gone", "left the pool"),
    ]
    (producer,) = examine(PickerPages({"p": page(x=FULL)}, [A], {})).producers
    assert producer.endpoints[0].note == "no request yet"


def test_findings_of_all_producers_count_and_are_in_order() -> None:
    zero, restart = FoundByPlugin("silent-zero", "m", "default/b"), FoundByPlugin("restart", "m", "default/a")
    found = examine(pages(p=page(zero, restart, a=FULL), q=page(zero, a=FULL)))
    assert list(found.producers[0].findings) == [restart, zero]
    assert found.count == 3


@pytest.mark.parametrize(
    ("figures", "beginnings"),
    [
        pytest.param(FULL, [], id="everything is there"),
        pytest.param({**FULL, "requests": 0}, ["No request was sent"], id="no requests"),
        pytest.param({**FULL, "compared_requests": 0}, ["No engine reported cached tokens"], id="no usage"),
        pytest.param({**FULL, "engine_hit_rate": None}, ["No engine's counters"], id="no counters"),
        pytest.param({**FULL, "engine_hit_rate": 0.0}, [], id="a counter of zero is there"),
        pytest.param({"requests": 1}, ["No engine reported", "No engine's counters"], id="neither"),
    ],
)
def test_what_is_missing_is_remarked_and_no_finding(figures: Mapping[str, Figure], beginnings: list[str]) -> None:
    types = {"p": "approx-prefix-cache-producer"}
    found = examine(pages(types, p=page(a=figures)))
    remarks = found.producers[0].remarks
    assert [remark[: len(start)] for remark, start in zip(remarks, beginnings, strict=True)] == beginnings
    assert found.count == 0


def test_an_examination_as_json() -> None:
    found = examine(pages({"p": "t"}, p=page(FoundByPlugin("c", "m"), a=FULL))).as_dict()
    assert found == {
        "findings": [],
        "producers": [
            {
                "name": "p",
                "type": "t",
                "endpoints": [
                    {"name": "default/a", "note": "", "figures": FULL},
                    {"name": "default/b", "note": "out of service: refused", "figures": {}},
                ],
                "findings": [{"endpoint": "", "cause": "c", "message": "m"}],
                "remarks": [],
            }
        ],
    }
