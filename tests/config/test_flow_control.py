from datetime import timedelta
from typing import Any

import pytest

from config.fakes import HEAD
from config.flow_fakes import OWN_GATE_OPEN, load, problems, settings, warnings

SCORER = "plugins: [{type: queue-scorer}]\n"


def test_settings_of_an_empty_section_are_the_defaults_of_the_field() -> None:
    for body in (SCORER, SCORER + "flowControl: {}"):
        found = settings(body)
        assert (found.max_bytes, found.max_requests) == (None, None)
        assert (found.default_request_ttl, found.no_endpoint_request_ttl) == (
            timedelta(seconds=60),
            timedelta(seconds=60),
        )
        assert (found.default_band.max_bytes, found.default_band.max_requests) == (1_000_000_000, 5_000)
        assert found.default_band.fairness.name == "global-strict-fairness-policy"
        assert found.default_band.ordering.name == "fcfs-ordering-policy"
        assert found.default_negative_band == found.default_band
        assert (found.bands, found.gates, found.entry_policies, found.lanes) == ({}, (), (), ())
        assert found.usage_limit.name == "static-usage-limit-policy"
        assert found.detector.name == "utilization-detector"
        assert (found.enable_eviction, found.max_evicted_share) == (False, 1.0)
        assert (found.head_of_line, found.strategy) == ("strict", "")


def test_limits_and_times_are_those_of_the_file() -> None:
    body = SCORER + (
        "flowControl: {maxBytes: 1Gi, maxRequests: 0, defaultRequestTTL: 0s, noEndpointRequestTTL: 5s,\n"
        "  defaultPriorityBand: {maxRequests: 7}, priorityBands: [{priority: -1, maxBytes: 1k}, {priority: 3}]}\n"
    )
    found = settings(body)
    assert (found.max_bytes, found.max_requests) == (1073741824, None)
    assert (found.default_request_ttl, found.no_endpoint_request_ttl) == (None, timedelta(seconds=5))
    assert (found.default_band.max_bytes, found.default_band.max_requests) == (1_000_000_000, 7)
    assert found.default_negative_band == found.default_band
    assert {priority: (band.priority, band.max_bytes, band.max_requests) for priority, band in found.bands.items()} == {
        -1: (-1, 1000, 5000),
        3: (3, 1_000_000_000, 5000),
    }
    assert warnings(body) == []


def test_time_to_live_without_endpoints_follows_the_default_one() -> None:
    assert settings(SCORER + "flowControl: {defaultRequestTTL: 3s}").no_endpoint_request_ttl == timedelta(seconds=3)
    assert settings(SCORER + "flowControl: {defaultRequestTTL: 0s}").no_endpoint_request_ttl is None
    assert settings(SCORER + "flowControl: {noEndpointRequestTTL: 0s}").default_request_ttl == timedelta(seconds=60)


def test_the_template_of_negative_bands_is_the_default_one_unless_it_is_given() -> None:
    template = "flowControl: {defaultPriorityBand: {maxRequests: 7, orderingPolicyRef: edf-ordering-policy}"
    follows = settings(SCORER + template + "}").default_negative_band
    assert (follows.max_requests, follows.ordering.name) == (7, "edf-ordering-policy")
    own = settings(SCORER + template + ", defaultNegativePriorityBand: {maxBytes: 9}}").default_negative_band
    assert (own.max_bytes, own.max_requests, own.ordering.name) == (9, 5000, "fcfs-ordering-policy")


def test_a_strategy_orders_every_band_that_names_no_policy() -> None:
    body = SCORER + (
        "flowControl: {strategy: slo-aware, defaultNegativePriorityBand: {orderingPolicyRef: edf-ordering-policy},\n"
        "  priorityBands: [{priority: 1}, {priority: 2, orderingPolicyRef: fcfs-ordering-policy}]}"
    )
    found = settings(body, head=OWN_GATE_OPEN)
    assert found.strategy == "slo-aware"
    assert found.default_band.ordering.name == "slo-aware-ordering-policy"
    assert found.default_negative_band.ordering.name == "edf-ordering-policy"
    assert found.bands[1].ordering == found.default_band.ordering
    assert found.bands[2].ordering.name == "fcfs-ordering-policy"


def test_bands_that_name_one_policy_share_it() -> None:
    found = settings(
        SCORER + "flowControl: {priorityBands: [{priority: 1, orderingPolicyRef: edf-ordering-policy}, "
        "{priority: 2, orderingPolicyRef: edf-ordering-policy}]}"
    )
    assert found.bands[1].ordering.plugin is found.bands[2].ordering.plugin


@pytest.mark.parametrize(
    ("words", "head_of_line", "share"),
    [
        pytest.param("", "strict", 1.0, id="the defaults"),
        pytest.param("headOfLine: strict, enableEviction: true, maxEvictedShare: 0", "strict", 0.0, id="none evicted"),
        pytest.param("headOfLine: perLane, enableEviction: true, maxEvictedShare: 1", "per-lane", 1.0, id="all"),
    ],
)
def test_own_words_are_translated(words: str, head_of_line: str, share: float) -> None:
    found = settings(f"{SCORER}flowControl: {{{words}}}", head=OWN_GATE_OPEN)
    assert (found.head_of_line, found.max_evicted_share) == (head_of_line, share)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("headOfLine: lane", "headOfLine: 'lane' is not accepted; accepted: 'strict' or 'perLane'"),
        ("maxEvictedShare: 1.5", "maxEvictedShare: 1.5 is not within [0, 1]; accepted: 0 to 1"),
        ("maxEvictedShare: -0.1", "maxEvictedShare: -0.1 is not within [0, 1]; accepted: 0 to 1"),
        ("maxEvictedShare: .nan", "maxEvictedShare: is nan; accepted: a finite number"),
        ("maxEvictedShare: all", "maxEvictedShare: is 'all'; accepted: a number"),
        ("enableEviction: 1", "enableEviction: is 1; accepted: true or false"),
    ],
)
def test_a_value_that_cannot_be_is_a_problem(line: str, found: str) -> None:
    assert problems(f"{SCORER}flowControl:\n  {line}\n", head=OWN_GATE_OPEN) == [f"6: flowControl.{found}"]


@pytest.mark.parametrize("head", [pytest.param(HEAD, id="gate closed"), pytest.param(OWN_GATE_OPEN, id="gate open")])
def test_two_bands_of_one_priority_are_a_problem(head: str) -> None:
    assert [
        problem.partition(": ")[2]
        for problem in problems(
            SCORER + "flowControl:\n  priorityBands:\n  - priority: 2\n  - priority: 2\n", head=head
        )
    ] == ["flowControl.priorityBands[1]: duplicate priority 2, first in priorityBands[0]; each priority has one band"]


def test_a_priority_that_is_no_number_is_not_taken_for_0() -> None:
    assert problems(SCORER + "flowControl:\n  priorityBands: [{priority: 0}, {priority: high}]\n") == [
        "6: flowControl.priorityBands[1].priority: is 'high'; accepted: a whole number"
    ]


def test_problems_of_all_references_come_together() -> None:
    body = SCORER + (
        "flowControl:\n"
        "  usageLimitPolicyPluginRef: a\n"
        "  saturationDetector: {pluginRef: b}\n"
        "  defaultPriorityBand: {fairnessPolicyRef: c}\n"
        "  defaultNegativePriorityBand: {orderingPolicyRef: d}\n"
        "  priorityBands:\n"
        "  - {priority: 1, fairnessPolicyRef: e, orderingPolicyRef: f}\n"
        "  - {priority: 1}\n"
    )
    assert [line.split(": ")[:2] for line in problems(body)] == [
        ["6", "flowControl.usageLimitPolicyPluginRef"],
        ["7", "flowControl.saturationDetector.pluginRef"],
        ["8", "flowControl.defaultPriorityBand.fairnessPolicyRef"],
        ["9", "flowControl.defaultNegativePriorityBand.orderingPolicyRef"],
        ["11", "flowControl.priorityBands[0].fairnessPolicyRef"],
        ["11", "flowControl.priorityBands[0].orderingPolicyRef"],
        ["12", "flowControl.priorityBands[1]"],
    ]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        pytest.param(
            "lanes: [{name: a, match: {models: [m]}, endpoints: {matchLabels: {a: b}}}]",
            "lanes: has no effect; write headOfLine: perLane",
            id="lanes that nothing asks for",
        ),
        pytest.param(
            "maxEvictedShare: 0.5", "maxEvictedShare: has no effect; write enableEviction: true", id="no eviction"
        ),
    ],
)
def test_what_has_no_effect_is_warned_of(lines: str, found: str) -> None:
    assert warnings(f"{SCORER}flowControl:\n  {lines}\n", head=OWN_GATE_OPEN) == [f"6: flowControl.{found}"]


def test_the_section_is_ignored_with_a_warning_as_long_as_the_gate_is_closed() -> None:
    body = SCORER + "flowControl: {usageLimitPolicyPluginRef: nothing, enableEviction: true}\n"
    assert load(body, head=HEAD).flow_control is None
    assert warnings(body, head=HEAD) == [
        "4: flowControl: is ignored: feature gate flowControl is off; only saturationDetector takes effect"
    ]


def test_plugins_that_only_flow_control_asks_are_warned_of_as_long_as_the_gate_is_closed() -> None:
    body = "plugins: [{type: gate-and-doorman}, {type: concurrency-detector}, {type: edf-ordering-policy}]"
    assert warnings(body, head=HEAD) == [
        (
            "3: plugins[0]: plugin 'gate-and-doorman' has no effect: feature gate flowControl is off; "
            "open the gate, or remove the plugin"
        )
    ]
    assert warnings(body) == []


def test_a_profile_handler_may_be_a_gate_as_well_and_has_its_effect_without_flow_control() -> None:
    body = "plugins: [{type: handler-and-gate}, {type: queue-scorer}]"
    made = load(body)
    plugin: Any = made.plugins["handler-and-gate"]
    assert made.scheduler.profile_handler.plugin is plugin
    assert made.flow_control is not None
    assert [named.plugin is plugin for named in made.flow_control.gates] == [True]
    assert [named.plugin is plugin for named in made.flow_control.entry_policies] == [True]
    assert (warnings(body), warnings(body, head=HEAD)) == ([], [])
    assert load(body, head=HEAD).scheduler.profile_handler.name == "handler-and-gate"


def test_a_plugin_that_defers_requests_needs_the_gate() -> None:
    body = "plugins: [{type: patience}]"
    assert problems(body, head=HEAD) == [
        (
            "3: plugins[0]: plugin 'patience' defers requests, and feature gate flowControl is off; "
            "open the gate, or remove the plugin"
        )
    ]
    made = load(body).flow_control
    assert made is not None
    assert [named.name for named in made.deferral_policies] == ["patience"]


# --- reloads, and what is printed ------------------------------------------------------------------------

WHOLE = """\
plugins:
- {type: queue-scorer}
- {type: slo-aware-ordering-policy, name: mine, parameters: {weight: 2}}
- {type: room-gate}
flowControl:
  maxRequests: 100
  strategy: slo-aware
  enableEviction: true
  defaultNegativePriorityBand: {maxRequests: 5}
  priorityBands: [{maxBytes: 0}, {priority: 1, fairnessPolicyRef: round-robin-fairness-policy}]
  headOfLine: perLane
  lanes: [{name: a, match: {models: [m]}, endpoints: {matchLabels: {gpu: x}}}]
"""


def test_a_reload_keeps_the_state_of_policies_that_did_not_change() -> None:
    first = load(WHOLE, head=OWN_GATE_OPEN)
    changed = WHOLE.replace("maxRequests: 100", "maxRequests: 7").replace("weight: 2", "weight: 3")
    second = load(changed, head=OWN_GATE_OPEN, previous=first)
    before, after = first.flow_control, second.flow_control
    assert before is not None
    assert after is not None
    assert (before.max_requests, after.max_requests) == (100, 7)
    assert after.default_band.ordering.plugin is not before.default_band.ordering.plugin
    assert after.bands[1].fairness.plugin is before.bands[1].fairness.plugin
    assert after.usage_limit.plugin is before.usage_limit.plugin
    assert after.detector.plugin is before.detector.plugin
    assert after.gates[0].plugin is before.gates[0].plugin
    assert (after.eviction_order, after.eviction_filter) == (before.eviction_order, before.eviction_filter)


@pytest.mark.parametrize(
    ("body", "head"),
    [
        pytest.param(SCORER, OWN_GATE_OPEN, id="nothing stated"),
        pytest.param(WHOLE, OWN_GATE_OPEN, id="much stated"),
        pytest.param(SCORER + "flowControl: {defaultRequestTTL: 0s}", OWN_GATE_OPEN, id="no end of waiting"),
        pytest.param(SCORER + "flowControl: {maxBytes: 1Gi}", HEAD + "featureGates: [flowControl]\n", id="the field's"),
    ],
)
def test_what_is_printed_loads_to_the_same_settings(body: str, head: str) -> None:
    first = load(body, head=head)
    again = load(first.effective.to_yaml(), head="", previous=first)
    assert again.flow_control == first.flow_control
    assert again.effective.config == first.effective.config
    assert again.effective.injected == frozenset()
    assert again.warnings == first.warnings == ()


def test_defaults_are_printed_with_their_mark() -> None:
    body = SCORER + "flowControl:\n  noEndpointRequestTTL: 5s\n  priorityBands: [{maxRequests: 9}]\n"
    printed = load(body).effective.to_yaml()
    section = printed[printed.index("flowControl:") :].partition("schedulingProfiles:")[0]
    assert (
        section
        == """\
flowControl:
  noEndpointRequestTTL: "5s"
  priorityBands:
  - maxRequests: 9
    priority: 0  # default
    maxBytes: 1000000000  # default
    fairnessPolicyRef: global-strict-fairness-policy  # default
    orderingPolicyRef: fcfs-ordering-policy  # default
  saturationDetector:  # default
    pluginRef: utilization-detector  # default
  maxBytes: 0  # default
  maxRequests: 0  # default
  defaultRequestTTL: "1m"  # default
  usageLimitPolicyPluginRef: static-usage-limit-policy  # default
  enableEviction: false  # default
  defaultPriorityBand:  # default
    maxBytes: 1000000000  # default
    maxRequests: 5000  # default
    fairnessPolicyRef: global-strict-fairness-policy  # default
    orderingPolicyRef: fcfs-ordering-policy  # default
"""
    )
