from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.model_cache.residency import MAX_ENDPOINTS, MAX_MODELS, Residency


def test_a_model_is_loading_until_it_answers_and_then_stays_for_a_while() -> None:
    residency = Residency(keep_seconds=100.0)
    residency.sent("a", "m", 0.0, 20.0, room=0)
    assert residency.seconds_left("a", "m", 5.0) == 15.0
    residency.served("a", "m", 22.0)
    residency.ended("a", "m")
    assert residency.seconds_left("a", "m", 121.0) == 0.0
    assert residency.seconds_left("a", "m", 122.0) is None


def test_a_load_that_is_late_is_not_over() -> None:
    residency = Residency(100.0)
    residency.sent("a", "m", 0.0, 20.0, room=0)
    assert residency.seconds_left("a", "m", 60.0) == 2.0


def test_a_second_request_does_not_begin_the_load_again() -> None:
    residency = Residency(100.0)
    residency.sent("a", "m", 0.0, 20.0, room=0)
    residency.sent("a", "m", 10.0, 10.0, room=0)
    assert residency.seconds_left("a", "m", 10.0) == 10.0


def test_a_model_that_never_answered_is_forgotten_with_its_last_request() -> None:
    residency = Residency(100.0)
    residency.sent("a", "m", 0.0, 20.0, room=0)
    residency.sent("a", "m", 1.0, 20.0, room=0)
    residency.ended("a", "m")
    assert residency.seconds_left("a", "m", 2.0) == 18.0
    residency.ended("a", "m")
    assert residency.seconds_left("a", "m", 2.0) is None


def test_an_endpoint_keeps_the_models_that_it_has_room_for() -> None:
    residency = Residency(100.0)
    for model in ("x", "y", "x", "z"):
        residency.sent("a", model, 0.0, None, room=2)
    assert [model for model in "xyz" if residency.seconds_left("a", model, 1.0) == 0.0] == ["x", "z"]


def test_endpoints_that_left_are_forgotten() -> None:
    residency = Residency(100.0)
    for name in ("a", "b"):
        residency.sent(name, "m", 0.0, None, room=0)
    residency.keep_only({"b", "c"})
    assert [residency.seconds_left(name, "m", 1.0) for name in "ab"] == [None, 0.0]
    assert len(residency) == 1


def test_memory_is_bounded() -> None:
    residency = Residency(100.0)
    for number in range(MAX_ENDPOINTS + 5):
        residency.sent(f"e{number}", "m", 0.0, None, room=0)
    for number in range(MAX_MODELS + 5):
        residency.sent("e9", f"m{number}", 0.0, None, room=0)
    assert len(residency) == MAX_ENDPOINTS
    assert len(residency._stays["e9"]) == MAX_MODELS


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "load", "served", "ended", "left"]),
            st.sampled_from("ab"),
            st.sampled_from("mn"),
            st.floats(0.0, 1e3),
        )
    )
)
def test_whatever_happens_no_load_takes_longer_than_it_was_said_to(steps: list[tuple[str, str, str, float]]) -> None:
    residency, now = Residency(50.0), 0.0
    for what, endpoint, model, later in steps:
        now += later
        if what in ("sent", "load"):
            residency.sent(endpoint, model, now, later if what == "load" else None, room=1)
        elif what == "served":
            residency.served(endpoint, model, now)
        elif what == "ended":
            residency.ended(endpoint, model)
        else:
            residency.keep_only({endpoint})
        left = residency.seconds_left(endpoint, model, now)
        assert left is None or 0.0 <= left <= 1e3
