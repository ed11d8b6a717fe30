from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import (
    REQUEST_BODY,
    Classification,
    CounterReading,
    Headers,
    InferenceRequest,
    Refusal,
    RefusalKind,
)
from turnout.framework.testing import check_signatures, make_request, make_state
from turnout.plugins.priorities.clients import LevelClient
from turnout.plugins.priorities.level_classifier import PriorityLevelClassifier
from turnout.plugins.priorities.levels import PriorityLevel

KEY_A = "f10f781241e2246678b6b45c857069208152a53863e47fac33f607ab405006f4"  # key-a
KEY_B = "a30534a53b23547377ddccbd1ac85a8a84c13db43493c16e55a6abc7b0eba634"  # key-b

# One may use high and critical and belongs to a tenant, the other may use low only.
CLIENTS = (LevelClient("a", KEY_A, ("HIGH", "critical"), "tenant-a"), LevelClient("b", KEY_B, ("low",)))


def classified(
    classifier: PriorityLevelClassifier,
    *headers: tuple[str, str],
    body: bytes | None = None,
    request: InferenceRequest | None = None,
) -> Classification | Refusal:
    state = make_state()
    if body is not None:
        state.write(REQUEST_BODY, body)
    return classifier.classify(replace(request or make_request(), headers=Headers(headers)), state)


def level_of(classifier: PriorityLevelClassifier, level: str, key: str = "") -> str | None:
    headers = [("x-priority-level", level)]
    headers += [("authorization", f"Bearer {key}")] if key else []
    given_level = classified(classifier, *headers)
    assert isinstance(given_level, Classification)
    return given_level.level


def figures(classifier: PriorityLevelClassifier) -> dict[str, float]:
    """Counts that are not zero, by level or by what was asked for in vain."""
    readings = [reading for reading in classifier.readings() if isinstance(reading, CounterReading)]
    named = {reading.labels.get("level", reading.name): reading.value for reading in readings}
    return {name: value for name, value in named.items() if value}


# --- what a level is -------------------------------------------------------------------------------------


def test_a_request_gets_priority_name_and_targets_of_its_level() -> None:
    gold = PriorityLevel(-7, timedelta(seconds=2), timedelta(milliseconds=40))
    classifier = PriorityLevelClassifier(levels={"gold": gold, "normal": PriorityLevel(0)})
    assert classified(classifier, ("x-priority-level", "Gold")) == Classification(-7, "gold", None, 2.0, 0.04)
    assert classified(classifier) == Classification(0, "normal")


def test_a_level_may_be_named_in_the_body_or_be_given_by_its_priority() -> None:
    classifier = PriorityLevelClassifier(body_field="priority")
    assert classified(classifier, body=b'{"priority": "low"}') == Classification(-50, "low")
    assert classified(classifier, body=b'{"priority": -100}') == Classification(-100, "background")
    assert classified(classifier, body=b'{"priority": -99}') == Classification(0, "normal")
    assert classified(classifier, ("x-priority-level", "low"), body=b'{"priority": -100}') == Classification(-50, "low")


def test_another_level_may_be_the_default() -> None:
    assert classified(PriorityLevelClassifier(default="LOW")) == Classification(-50, "low")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(make_request(), Classification(0, "normal"), id="nobody has said anything"),
        pytest.param(make_request(priority=5), Classification(), id="an earlier classifier gave a priority"),
        pytest.param(replace(make_request(), level="gold"), Classification(), id="one gave a level"),
    ],
)
def test_a_request_that_states_no_level_keeps_what_it_was_given_before(
    request_: InferenceRequest, expected: Classification
) -> None:
    assert classified(PriorityLevelClassifier(), request=request_) == expected


def test_a_stated_level_counts_more_than_what_was_given_before() -> None:
    request = make_request(priority=5)
    given_level = classified(PriorityLevelClassifier(), ("x-priority-level", "low"), request=request)
    assert given_level == Classification(-50, "low")


# --- who may use it --------------------------------------------------------------------------------------

LEVELS = ("critical", "high", "normal", "low", "background")


@pytest.mark.parametrize(
    ("build", "key", "expected"),
    [
        pytest.param(
            lambda: PriorityLevelClassifier(), "", ["normal", "normal", "normal", "low", "background"], id="no clients"
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(default="background"),
            "",
            ["background", "background", "background", "background", "background"],
            id="no clients and a low default",
        ),
        pytest.param(lambda: PriorityLevelClassifier(require_key=False), "", LEVELS, id="open to all, as stated"),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS),
            "",
            ["normal", "normal", "normal", "low", "background"],
            id="clients, and none of them",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS, require_key=False),
            "key-c",
            ["normal", "normal", "normal", "low", "background"],
            id="an unknown key raises nothing, whatever is stated",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS),
            "key-a",
            LEVELS,
            id="a client with the upper levels",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS),
            "key-b",
            ["normal", "normal", "normal", "low", "background"],
            id="a client with a lower level",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS, require_key=True),
            "key-a",
            ["critical", "high", "normal", "normal", "normal"],
            id="keys are required, and this one has the upper levels",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=CLIENTS, require_key=True),
            "",
            ["normal", "normal", "normal", "normal", "normal"],
            id="keys are required, and there is none",
        ),
    ],
)
def test_a_level_is_given_to_those_who_may_use_it(
    build: Callable[[], PriorityLevelClassifier], key: str, expected: Sequence[str]
) -> None:
    classifier = build()
    assert [level_of(classifier, level, key) for level in LEVELS] == list(expected)
    denied = sum(asked != got for asked, got in zip(LEVELS, expected, strict=True))
    assert figures(classifier).get("priority_level_forbidden_total", 0) == denied


def test_a_priority_in_the_body_needs_the_same_right_as_a_name() -> None:
    classifier = PriorityLevelClassifier(body_field="priority", clients=CLIENTS)
    assert classified(classifier, body=b'{"priority": 100}') == Classification(0, "normal")
    allowed = classified(classifier, ("authorization", "Bearer key-a"), body=b'{"priority": 100}')
    assert allowed == Classification(100, "critical", "tenant-a")


def test_a_forbidden_level_may_be_refused() -> None:
    classifier = PriorityLevelClassifier(on_forbidden="refuse")
    refusal = classified(classifier, ("x-priority-level", "CRITICAL"))
    assert refusal == Refusal(RefusalKind.FORBIDDEN, "the priority level critical is not allowed for this client")
    assert figures(classifier) == {"priority_level_forbidden_total": 1}


@pytest.mark.parametrize(
    "level",
    [
        pytest.param("gold", id="another name"),
        pytest.param("x" * 1_000_000, id="a million characters"),
        pytest.param("\udcff\udcfe", id="what was no UTF-8"),
        pytest.param("50", id="a number in a header"),
        pytest.param("high,low", id="two headers that a proxy joined"),
    ],
)
def test_an_unknown_level_counts_as_the_default_or_is_refused(level: str) -> None:
    classifier = PriorityLevelClassifier()
    assert level_of(classifier, level) == "normal"
    assert figures(classifier) == {"normal": 1, "priority_level_unknown_total": 1}
    refusal = classified(PriorityLevelClassifier(on_unknown="refuse"), ("x-priority-level", level))
    known = "the priority level is not known; there are: critical, high, normal, low, background"
    assert refusal == Refusal(RefusalKind.BAD_REQUEST, known)


def test_a_header_with_two_levels_gives_neither() -> None:
    classifier = PriorityLevelClassifier(require_key=False)
    both = [("x-priority-level", "low"), ("x-priority-level", "critical")]
    assert classified(classifier, *both) == Classification(0, "normal")
    assert figures(classifier) == {"normal": 1, "priority_level_unknown_total": 1}


def test_requests_are_counted_by_the_level_that_they_were_given() -> None:
    classifier = PriorityLevelClassifier(clients=CLIENTS)
    assert [reading.value for reading in classifier.readings() if isinstance(reading, CounterReading)] == [0.0] * 7
    for level, key in (("high", "key-a"), ("high", ""), ("low", ""), ("gold", "")):
        level_of(classifier, level, key)
    expected = {
        "high": 1,
        "normal": 2,
        "low": 1,
        "priority_level_forbidden_total": 1,
        "priority_level_unknown_total": 1,
    }
    assert figures(classifier) == expected


# --- whose flow it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusts", "key", "stated", "expected"),
    [
        pytest.param(True, "key-a", "default-flow", "tenant-a", id="a client that states no flow is in its own"),
        pytest.param(True, "key-a", "tenant-b", None, id="a flow that is stated is trusted"),
        pytest.param(True, "key-b", "default-flow", None, id="a client without a flow of its own"),
        pytest.param(True, "", "tenant-a", None, id="without a key the stated one"),
        pytest.param(False, "key-a", "tenant-b", "tenant-a", id="a forged flow of another tenant"),
        pytest.param(False, "key-b", "tenant-a", "default-flow", id="forged by a client without a flow"),
        pytest.param(False, "", "tenant-a", "default-flow", id="forged without a key"),
    ],
)
def test_the_flow_is_that_of_the_key_where_the_header_is_not_trusted(
    trusts: bool, key: str, stated: str, expected: str | None
) -> None:
    classifier = PriorityLevelClassifier(clients=CLIENTS, trust_fairness_header=trusts)
    headers = [("authorization", f"Bearer {key}")] if key else []
    for earlier in (0, 5):  # with a priority of its own, only the flow is said
        request = make_request(fairness_id=stated, priority=earlier)
        given_level = classified(classifier, *headers, request=request)
        assert isinstance(given_level, Classification)
        assert given_level.fairness_id == expected


# --- parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: PriorityLevelClassifier(require_key=True),
            "require_key must not be true without clients, got no clients",
            id="keys are required and nobody has one",
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(default="gold"), "default must be one of critical", id="an unknown default"
        ),
        pytest.param(
            lambda: PriorityLevelClassifier(clients=[LevelClient("a", KEY_A, ["gold"])]),
            r"clients\[0\].levels must be one of critical, high, normal, low, background, got 'gold'",
            id="an unknown level of a client",
        ),
        pytest.param(lambda: PriorityLevelClassifier(levels={}), "levels must have at least one level", id="no levels"),
        pytest.param(
            lambda: PriorityLevelClassifier(header=""),
            "header and body_field must not both be empty",
            id="nowhere to look",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused(build: Callable[[], PriorityLevelClassifier], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


# --- whatever is sent ------------------------------------------------------------------------------------

texts = st.sampled_from([*LEVELS, "gold", "", "key-a", "Bearer key-a", "Bearer key-b", "tenant-a"]) | st.text(
    max_size=80
)
names = st.sampled_from(["x-priority-level", "authorization", "x-llm-d-inference-fairness-id"])
# What each may have at most, by key.
RIGHTS: Mapping[str, int] = {"Bearer key-a": 100, "key-a": 100}


@given(headers=st.lists(st.tuples(names, texts), max_size=6), body=st.none() | st.binary(max_size=40))
def test_nothing_that_is_sent_gives_more_than_the_key_allows(
    headers: list[tuple[str, str]], body: bytes | None
) -> None:
    classifier = PriorityLevelClassifier(body_field="priority", clients=CLIENTS, trust_fairness_header=False)
    check_signatures(classifier)
    given_level = classified(classifier, *headers, body=body)
    keys = {value for name, value in headers if name == "authorization"}
    assert isinstance(given_level, Classification)
    assert given_level.priority is not None
    assert given_level.priority <= (RIGHTS.get(next(iter(keys)), 0) if len(keys) == 1 else 0)
    assert given_level.fairness_id in ("tenant-a", "default-flow")
