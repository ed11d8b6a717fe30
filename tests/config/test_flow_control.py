import pytest

from config.fakes import load, problems, warnings

SCORER = "plugins: [{type: queue-scorer}]\n"


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        pytest.param("[]", {"flowControl": False, "haPopulateNonLeaderDatastore": True}, id="the defaults"),
        pytest.param(
            "['haPopulateNonLeaderDatastore= F ']",
            {"flowControl": False, "haPopulateNonLeaderDatastore": False},
            id="Go's spelling of false",
        ),
        pytest.param(
            "[haPopulateNonLeaderDatastore=0, haPopulateNonLeaderDatastore, flowControl=false]",
            {"flowControl": False, "haPopulateNonLeaderDatastore": True},
            id="the last mention counts",
        ),
    ],
)
def test_feature_gates_are(gates: str, expected: dict[str, bool]) -> None:
    assert dict(load(SCORER + f"featureGates: {gates}").feature_gates) == expected


@pytest.mark.parametrize(
    ("gate", "found"),
    [
        ("flowControl", "feature gate flowControl is not available in this version; accepted: flowControl=false"),
        ("flowControl=T", "feature gate flowControl is not available in this version; accepted: flowControl=false"),
        (
            "flowControll",
            (
                "unknown feature gate 'flowControll'; did you mean 'flowControl'? accepted: "
                "flowControl, haPopulateNonLeaderDatastore"
            ),
        ),
        ("flowControl=yes", "feature gate flowControl: 'yes' is not a boolean; accepted: true, false, t, f, 1, 0"),
        ("5", "is 5; accepted: text"),
    ],
)
def test_a_wrong_feature_gate_is_a_problem(gate: str, found: str) -> None:
    assert problems(SCORER + f"featureGates:\n- {gate}\n") == [f"5: featureGates[0]: {found}"]


def test_the_section_is_ignored_with_a_warning_as_long_as_the_gate_is_closed() -> None:
    body = SCORER + "flowControl: {maxBytes: 1Gi}\n"
    assert load(body).flow_control is None
    assert warnings(body) == [
        "4: flowControl: is ignored: feature gate flowControl is off; only saturationDetector takes effect"
    ]


def test_two_bands_of_one_priority_are_a_problem() -> None:
    assert problems(SCORER + "flowControl:\n  priorityBands:\n  - priority: 2\n  - priority: 2\n") == [
        "7: flowControl.priorityBands[1]: duplicate priority 2, first in priorityBands[0]; each priority has one band"
    ]


def detector(body: str, **more: str) -> str | None:
    found = load(body, **more).detector
    return None if found is None else found.name


def test_the_default_detector_is_used_where_it_is_on_offer() -> None:
    assert detector(SCORER) is None
    assert detector(SCORER, utilization_detector="Detector") == "utilization-detector"
    named = SCORER + "flowControl: {saturationDetector: {pluginRef: utilization-detector}}"
    assert detector(named, utilization_detector="Detector") == "utilization-detector"
    assert warnings(named, utilization_detector="Detector") == []


def test_the_deprecated_detector_field_counts_when_there_is_no_other() -> None:
    listed = "plugins: [{type: d, name: a}, {type: d, name: b}]\nsaturationDetector: {pluginRef: a}\n"
    assert detector(listed, d="Detector") == "a"
    both = listed + "flowControl: {saturationDetector: {pluginRef: b}}\n"
    assert detector(both, d="Detector") == "b"
    assert warnings(both, d="Detector") == [
        (
            "4: saturationDetector: is deprecated and is ignored beside flowControl.saturationDetector; "
            "write flowControl.saturationDetector"
        )
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "utilization-detector",
            (
                "'utilization-detector' is a known type of the field, not offered by any installed "
                "plugin; install a distribution that offers it, or remove it"
            ),
        ),
        ("concurrency-detector", "'concurrency-detector' names no entry of plugins; accepted: queue-scorer"),
        ("queue-scorer", "plugin 'queue-scorer' is no SaturationDetector; there is none that could be named"),
    ],
)
def test_a_detector_that_cannot_be_had_is_a_problem(name: str, found: str) -> None:
    body = SCORER + f"flowControl:\n  saturationDetector: {{pluginRef: {name}}}\n"
    assert problems(body) == [f"5: flowControl.saturationDetector.pluginRef: {found}"]


def test_default_policies_are_injected_where_they_are_on_offer() -> None:
    pipeline = load(SCORER, fcfs_ordering_policy="Detector")
    assert "fcfs-ordering-policy" in pipeline.plugins
    assert "static-usage-limit-policy" not in pipeline.plugins
