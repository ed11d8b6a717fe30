from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Classification
from turnout.framework.testing import check_signatures, make_request, make_state
from turnout.plugins.priorities.objectives import Objective, ObjectiveClassifier

CHAT = Objective("chat", 10, "gold", timedelta(milliseconds=500), timedelta(milliseconds=50), "tenant-a")
BATCH = Objective("batch", -5)


def classified(classifier: ObjectiveClassifier, objective: str) -> Classification:
    return classifier.classify(replace(make_request(), objective=objective), make_state())


@pytest.mark.parametrize(
    ("default", "objective", "expected"),
    [
        pytest.param("", "chat", Classification(10, "gold", "tenant-a", 0.5, 0.05), id="all that an objective says"),
        pytest.param("", "batch", Classification(-5), id="an objective with nothing but a priority"),
        pytest.param("", "", Classification(), id="a request without an objective"),
        pytest.param("", "other", Classification(), id="an unknown objective"),
        pytest.param("", "CHAT", Classification(), id="names are matched exactly"),
        pytest.param("batch", "", Classification(-5), id="the default for a request without an objective"),
        pytest.param("batch", "\udcff" * 1000, Classification(-5), id="the default for what is no UTF-8"),
        pytest.param("batch", "chat", Classification(10, "gold", "tenant-a", 0.5, 0.05), id="a default beside it"),
    ],
)
def test_a_request_is_what_its_objective_says(default: str, objective: str, expected: Classification) -> None:
    assert classified(ObjectiveClassifier([CHAT, BATCH], default), objective) == expected


def test_there_may_be_no_objectives() -> None:
    assert classified(ObjectiveClassifier([]), "chat") == Classification()


@pytest.mark.parametrize(
    ("objectives", "default", "message"),
    [
        pytest.param(
            [CHAT, CHAT], "", "objectives must have names of their own, got 'chat' twice", id="one name twice"
        ),
        pytest.param([CHAT, BATCH], "x", "default must be one of chat, batch, got 'x'", id="an unknown default"),
        pytest.param([], "x", "default must be one of no objectives, got 'x'", id="a default of nothing"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(objectives: Sequence[Objective], default: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ObjectiveClassifier(objectives, default)


@pytest.mark.parametrize(
    ("name", "priority", "target", "message"),
    [
        pytest.param("", 0, None, "name must not be empty, got ''", id="no name"),
        pytest.param("a", 2**31, None, "priority must be within", id="a priority that is too large"),
        pytest.param("a", 0, timedelta(), "ttft_target must be positive, got 0:00:00", id="no time at all"),
    ],
)
def test_an_objective_has_ranges(name: str, priority: int, target: timedelta | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective(name, priority, ttft_target=target)


def test_a_target_per_output_token_is_positive_too() -> None:
    with pytest.raises(ValueError, match="tpot_target must be positive, got 0:00:00"):
        Objective("a", 0, tpot_target=timedelta())


@given(objective=st.text() | st.text(alphabet=st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)))
def test_any_text_may_be_sent_as_an_objective(objective: str) -> None:
    classifier = ObjectiveClassifier([CHAT], "chat")
    check_signatures(classifier)
    assert classified(classifier, objective) == classified(classifier, "chat")
