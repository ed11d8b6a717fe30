from typing import Any

import pytest
from hypothesis import given

from plugins.generated import decided, endpoint_lists
from turnout.framework import CounterReading, Endpoint
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.mig.filter import MAX_LAYOUTS, MigFilter

POOL = [
    make_endpoint("whole"),
    make_endpoint("small", labels={"mig-config": "1g.10gb:7"}),
    make_endpoint("mixed", labels={"mig-config": "1g.10gb:3,3g.40gb:1"}),
    make_endpoint("half", labels={"mig-config": "3g.40gb:2"}),
    make_endpoint("odd", labels={"mig-config": "half a card"}),
]


def kept(plugin: MigFilter, pool: list[Endpoint]) -> list[str]:
    found = plugin.filter(make_request(), make_state(), pool)
    return [endpoint.name.removeprefix("default/") for endpoint in found]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({}, ["whole", "small", "mixed", "half"], id="any slice, but none that nobody knows"),
        pytest.param({"whole_gpus": False}, ["small", "mixed", "half"], id="slices only"),
        pytest.param({"profiles": ["3g.40gb"]}, ["whole", "mixed", "half"], id="one profile"),
        pytest.param({"min_memory_gb": 20}, ["whole", "mixed", "half"], id="memory"),
        pytest.param({"min_compute_slices": 4, "whole_gpus": False}, [], id="compute: nobody, and that is it"),
        pytest.param(
            {"min_compute_slices": 4, "whole_gpus": False, "mode": "preferred"},
            ["whole", "small", "mixed", "half", "odd"],
            id="nobody, and it was a wish only",
        ),
    ],
)
def test_endpoints_with_a_slice_that_fits_are_kept(parameters: dict[str, Any], expected: list[str]) -> None:
    assert kept(MigFilter(**parameters), POOL) == expected


def test_a_wish_that_the_destination_does_not_meet_is_counted() -> None:
    plugin = MigFilter(min_compute_slices=4, whole_gpus=False, mode="preferred")
    for pool in (POOL, [*POOL, make_endpoint("full", labels={"mig-config": "7g.80gb:1"})]):
        state = make_state()
        found = plugin.filter(make_request(), state, pool)
        plugin.pre_request(make_request(), state, decided(found[-1]))
    (reading,) = plugin.readings()
    assert isinstance(reading, CounterReading)
    assert (reading.name, reading.labels, reading.value) == (
        "topology_violations_total",
        {"rule": "mig_profile"},
        1,
    )


def test_what_is_demanded_is_never_violated() -> None:
    assert list(MigFilter(mode="strict").readings()) == []


def test_a_label_that_makes_no_sense_is_a_finding() -> None:
    (finding,) = MigFilter().diagnose(POOL, 0.0).findings
    assert (finding.cause, finding.endpoint) == ("unreadable-mig-layout", "default/odd")
    assert "unknown MIG profile 'half a card'" in finding.message


def test_what_is_remembered_of_labels_is_bounded() -> None:
    plugin = MigFilter()
    pool = [make_endpoint(f"e{n}", labels={"mig-config": f"nonsense {n}"}) for n in range(2 * MAX_LAYOUTS)]
    assert kept(plugin, pool) == []
    assert len(plugin._layouts) <= MAX_LAYOUTS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"profiles": ["2g.20GB"]}, "unknown MIG profile '2g.20GB'", id="a profile that no GPU has"),
        pytest.param({"min_compute_slices": 8}, "min_compute_slices must be from 0 to 7, got 8", id="too much"),
        pytest.param({"min_memory_gb": -1}, "min_memory_gb must be at least 0, got -1", id="negative"),
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MigFilter(**wrong)


@given(endpoints=endpoint_lists())
def test_the_filter_keeps_its_contract(endpoints: list[Endpoint]) -> None:
    check_filter(MigFilter(), make_request(), make_state(), endpoints)
