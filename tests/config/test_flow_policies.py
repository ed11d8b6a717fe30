import pytest

from config.fakes import HEAD
from config.flow_fakes import (
    OWN_GATE_OPEN,
    Anyone,
    GateAndDoorman,
    Oldest,
    Strict,
    Turns,
    Weighted,
    load,
    problems,
    settings,
    warnings,
)
from turnout.config import Pipeline
from turnout.framework import Named

SCORER = "plugins: [{type: queue-scorer}]\n"
NOT_OFFERED = (
    "is a known type of the field, not offered by any installed plugin; install a distribution that offers it, "
    "or remove it"
)


def detector(pipeline: Pipeline) -> str | None:
    return None if pipeline.detector is None else pipeline.detector.name


@pytest.mark.parametrize("head", [pytest.param(HEAD, id="gate closed"), pytest.param(OWN_GATE_OPEN, id="gate open")])
def test_the_detector_is_the_one_that_is_named_or_the_default(head: str) -> None:
    assert detector(load(SCORER, head=head)) == "utilization-detector"
    named = SCORER + "flowControl: {saturationDetector: {pluginRef: utilization-detector}}"
    assert detector(load(named, head=head)) == "utilization-detector"
    assert warnings(named, head=head) == []
    other = "plugins: [{type: concurrency-detector, name: mine}]\nflowControl: {saturationDetector: {pluginRef: mine}}"
    assert detector(load(other, head=head)) == "mine"


def test_without_a_default_on_offer_there_is_no_detector_as_long_as_the_gate_is_closed() -> None:
    assert detector(load(SCORER, "utilization-detector", head=HEAD)) is None
    assert problems(SCORER, "utilization-detector") == [
        f"1: flowControl.saturationDetector.pluginRef: 'utilization-detector' {NOT_OFFERED}"
    ]


def test_with_the_gate_open_the_settings_have_the_same_detector() -> None:
    pipeline = load(SCORER)
    assert pipeline.flow_control is not None
    assert pipeline.flow_control.detector == pipeline.detector


def test_the_deprecated_detector_field_counts_when_there_is_no_other() -> None:
    listed = (
        "plugins: [{type: concurrency-detector, name: a}, {type: concurrency-detector, name: b}]\n"
        "saturationDetector: {pluginRef: a}\n"
    )
    assert detector(load(listed, head=HEAD)) == "a"
    both = listed + "flowControl: {saturationDetector: {pluginRef: b}}\n"
    assert detector(load(both, head=HEAD)) == "b"
    assert warnings(both, head=HEAD) == [
        (
            "4: saturationDetector: is deprecated and is ignored beside flowControl.saturationDetector; "
            "write flowControl.saturationDetector"
        )
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("utilization-detector", f"'utilization-detector' {NOT_OFFERED}"),
        ("concurrency-detector", "'concurrency-detector' names no entry of plugins; accepted: queue-scorer"),
        ("queue-scorer", "plugin 'queue-scorer' is no SaturationDetector; there is none that could be named"),
    ],
)
def test_a_detector_that_cannot_be_had_is_a_problem(name: str, found: str) -> None:
    body = SCORER + f"flowControl:\n  saturationDetector: {{pluginRef: {name}}}\n"
    assert problems(body, "utilization-detector", head=HEAD) == [
        f"5: flowControl.saturationDetector.pluginRef: {found}"
    ]


def test_default_policies_are_injected_where_they_are_on_offer_with_the_gate_closed_too() -> None:
    pipeline = load(SCORER, "static-usage-limit-policy", head=HEAD)
    assert "fcfs-ordering-policy" in pipeline.plugins
    assert "static-usage-limit-policy" not in pipeline.plugins


def test_a_fairness_policy_may_be_of_either_kind() -> None:
    found = settings(
        SCORER + "flowControl: {priorityBands: [{priority: 1, fairnessPolicyRef: round-robin-fairness-policy}]}"
    )
    assert isinstance(found.default_band.fairness.plugin, Strict)
    assert isinstance(found.bands[1].fairness.plugin, Turns)


def test_a_plugin_under_the_name_of_a_default_policy_takes_its_place() -> None:
    found = settings("plugins: [{type: slo-aware-ordering-policy, name: fcfs-ordering-policy}]")
    assert isinstance(found.default_band.ordering.plugin, Weighted)


BAND = "flowControl:\n  priorityBands:\n  - priority: 1\n    "


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(
            "fairnessPolicyRef: queue-scorer",
            (
                "fairnessPolicyRef: plugin 'queue-scorer' is no FairnessPolicy or RankedFairnessPolicy; "
                "accepted: global-strict-fairness-policy"
            ),
            id="no fairness policy",
        ),
        pytest.param(
            "orderingPolicyRef: global-strict-fairness-policy",
            (
                "orderingPolicyRef: plugin 'global-strict-fairness-policy' is no OrderingPolicy; "
                "accepted: fcfs-ordering-policy"
            ),
            id="no ordering policy",
        ),
        pytest.param(
            "orderingPolicyRef: slo-deadline-ordering-policy",
            f"orderingPolicyRef: 'slo-deadline-ordering-policy' {NOT_OFFERED}",
            id="a type that is not on offer",
        ),
        pytest.param(
            "orderingPolicyRef: efd-ordering-policy",
            (
                "orderingPolicyRef: 'efd-ordering-policy' names no entry of plugins; "
                "did you mean 'edf-ordering-policy'? accepted: queue-scorer"
            ),
            id="a misspelt type",
        ),
        pytest.param(
            "orderingPolicyRef: needy-ordering-policy",
            "orderingPolicyRef: the required field 'share' is missing; accepted: share",
            id="a type that cannot do without parameters",
        ),
    ],
)
def test_a_policy_that_cannot_be_had_is_a_problem(line: str, found: str) -> None:
    assert problems(SCORER + BAND + line) == [f"8: flowControl.priorityBands[0].{found}"]


def test_a_usage_limit_is_looked_up_and_may_be_a_type_on_offer() -> None:
    listed = "plugins: [{type: static-usage-limit-policy, name: tight, parameters: {threshold: 0.5}}]\n"
    found = settings(listed + "flowControl: {usageLimitPolicyPluginRef: tight}")
    assert found.usage_limit.plugin.ceilings(0.0, [1, 0]) == [0.5, 0.5]
    assert problems(SCORER + "flowControl:\n  usageLimitPolicyPluginRef: queue-scorer") == [
        (
            "6: flowControl.usageLimitPolicyPluginRef: plugin 'queue-scorer' is no UsageLimitPolicy; "
            "accepted: static-usage-limit-policy"
        )
    ]


def test_default_policies_that_nobody_offers_are_a_problem_each_with_the_gate_open() -> None:
    without = ("fcfs-ordering-policy", "global-strict-fairness-policy", "static-usage-limit-policy")
    assert problems(SCORER + BAND + "maxRequests: 5", *without) == [
        f"5: flowControl.defaultPriorityBand.fairnessPolicyRef: 'global-strict-fairness-policy' {NOT_OFFERED}",
        f"5: flowControl.defaultPriorityBand.orderingPolicyRef: 'fcfs-ordering-policy' {NOT_OFFERED}",
        f"5: flowControl.usageLimitPolicyPluginRef: 'static-usage-limit-policy' {NOT_OFFERED}",
    ]


# --- strategies ------------------------------------------------------------------------------------------

STRATEGY = "flowControl:\n  strategy: slo-aware\n"


@pytest.mark.parametrize(
    ("plugins", "name", "weight"),
    [
        pytest.param("{type: queue-scorer}", "slo-aware-ordering-policy", 1.0, id="one that is made"),
        pytest.param(
            "{type: slo-aware-ordering-policy, name: mine, parameters: {weight: 2}}", "mine", 2.0, id="the listed one"
        ),
        pytest.param(
            "{type: slo-aware-ordering-policy, name: mine}, {type: slo-aware-ordering-policy, parameters: {weight: 3}}",
            "slo-aware-ordering-policy",
            3.0,
            id="of two the one with the name of its type",
        ),
    ],
)
def test_a_strategy_chooses_the_ordering_policy(plugins: str, name: str, weight: float) -> None:
    found = settings(f"plugins: [{plugins}]\n{STRATEGY}", head=OWN_GATE_OPEN)
    assert found.default_band.ordering.name == name
    assert isinstance(found.default_band.ordering.plugin, Weighted)
    assert found.default_band.ordering.plugin.weight == weight


@pytest.mark.parametrize(
    ("plugins", "strategy", "found"),
    [
        pytest.param(
            "{type: slo-aware-ordering-policy, name: a}, {type: slo-aware-ordering-policy, name: b}",
            "slo-aware",
            [
                (
                    "6: flowControl.strategy: there are 2 plugins of type slo-aware-ordering-policy: a, b; "
                    "name one of them slo-aware-ordering-policy"
                )
            ],
            id="two plugins of the type",
        ),
        pytest.param(
            "{type: queue-scorer}",
            "adaptive",
            [
                (
                    "6: flowControl.strategy: there is no plugin type adaptive-ordering-policy; "
                    "install a distribution that offers it, or remove it"
                )
            ],
            id="a type that nobody offers",
        ),
        pytest.param(
            "{type: slo-aware-ordering-policy, name: a, parameters: {weight: -1}}",
            "slo-aware",
            ["4: plugins[0].parameters: weight must be at least 0, got -1.0"],
            id="a listed one that cannot be built is the only problem",
        ),
        pytest.param(
            "{type: queue-scorer, name: slo-aware-ordering-policy}",
            "slo-aware",
            [
                (
                    "6: flowControl.strategy: plugin 'slo-aware-ordering-policy' is no OrderingPolicy; "
                    "accepted: fcfs-ordering-policy"
                )
            ],
            id="another plugin under that name",
        ),
        pytest.param(
            "{type: queue-scorer}",
            "lifo",
            [
                (
                    "6: flowControl.strategy: 'lifo' is not accepted; "
                    "accepted: 'fifo', 'priority', 'slo-aware', 'cost-optimized' or 'adaptive'"
                )
            ],
            id="another word",
        ),
    ],
)
def test_a_strategy_that_cannot_be_had_is_a_problem(plugins: str, strategy: str, found: list[str]) -> None:
    body = f"plugins: [{plugins}]\nflowControl:\n  strategy: {strategy}\n"
    assert problems(body, head=OWN_GATE_OPEN) == found


# --- eviction --------------------------------------------------------------------------------------------

EVICTION = "flowControl:\n  enableEviction: true\n"


def test_eviction_policies_are_there_only_with_eviction() -> None:
    off = settings("plugins: [{type: sheddable-eviction-filter}, {type: queue-scorer}]")
    assert (off.enable_eviction, off.eviction_order, off.eviction_filter) == (False, None, None)
    on = settings(SCORER + EVICTION)
    assert on.enable_eviction
    assert on.eviction_order is not None
    assert on.eviction_filter is not None
    assert (on.eviction_order.name, on.eviction_filter.name) == (
        "priority-then-time-eviction-order-policy",
        "sheddable-eviction-filter",
    )
    assert isinstance(on.eviction_order.plugin, Oldest)
    assert isinstance(on.eviction_filter.plugin, Anyone)


def test_a_listed_eviction_policy_takes_the_place_of_the_default() -> None:
    listed = "plugins: [{type: sheddable-eviction-filter, name: mine}]\n" + EVICTION
    pipeline = load(listed)
    assert pipeline.flow_control is not None
    assert pipeline.flow_control.eviction_filter == Named(pipeline.plugins["mine"], "mine")
    assert "sheddable-eviction-filter" not in pipeline.plugins


@pytest.mark.parametrize(
    ("plugins", "without", "found"),
    [
        pytest.param(
            "- {type: sheddable-eviction-filter}\n- {type: sheddable-eviction-filter, name: b}\n",
            [],
            [
                (
                    "6: plugins[1]: a second EvictionFilterPolicy beside 'sheddable-eviction-filter'; "
                    "exactly one with enableEviction"
                )
            ],
            id="two filters",
        ),
        pytest.param(
            "- {type: queue-scorer}\n",
            ["priority-then-time-eviction-order-policy"],
            [f"7: flowControl.enableEviction: 'priority-then-time-eviction-order-policy' {NOT_OFFERED}"],
            id="a default that nobody offers",
        ),
    ],
)
def test_eviction_policies_that_cannot_be_had_are_a_problem(plugins: str, without: list[str], found: list[str]) -> None:
    assert problems(f"plugins:\n{plugins}{EVICTION}", *without) == found


# --- gates and entry policies ----------------------------------------------------------------------------


def test_gates_and_entry_policies_are_all_that_are_listed() -> None:
    found = settings(
        "plugins: [{type: room-gate, name: b}, {type: doorman}, {type: gate-and-doorman}, {type: room-gate, name: a}]"
    )
    assert [named.name for named in found.gates] == ["b", "gate-and-doorman", "a"]
    assert [named.name for named in found.entry_policies] == ["doorman", "gate-and-doorman"]
    assert isinstance(found.gates[1].plugin, GateAndDoorman)
    assert found.gates[1].plugin is found.entry_policies[1].plugin
