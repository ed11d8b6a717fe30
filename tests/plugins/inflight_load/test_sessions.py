from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.inflight_load import sessions as module
from turnout.plugins.inflight_load.sessions import Sessions


def test_a_session_goes_on_while_a_request_is_on_its_way_and_a_while_longer() -> None:
    sessions = Sessions(idle_seconds=60.0)
    sessions.sent("s", "a", 0.0)
    sessions.sweep(500.0)
    assert sessions.by_endpoint == {"a": 1}
    sessions.ended("s", 510.0)
    sessions.sweep(569.0)
    assert len(sessions) == 1
    sessions.sweep(570.0)
    assert (len(sessions), dict(sessions.by_endpoint)) == (0, {})


def test_a_session_counts_for_the_endpoint_of_its_latest_request() -> None:
    sessions = Sessions(60.0)
    for session, endpoint in (("s", "a"), ("t", "a"), ("s", "b")):
        sessions.sent(session, endpoint, 0.0)
    assert sessions.by_endpoint == {"a": 1, "b": 1}


def test_the_end_of_a_request_of_a_session_that_was_dropped_has_no_effect() -> None:
    sessions = Sessions(60.0)
    sessions.ended("s", 0.0)
    assert len(sessions) == 0


def test_memory_is_bounded() -> None:
    sessions = Sessions(60.0)
    for number in range(module.MAX_SESSIONS + 3):
        sessions.sent(f"s{number}", "a", 0.0)
    assert (len(sessions), dict(sessions.by_endpoint)) == (100_000, {"a": 100_000})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "ended", "sweep"]), st.sampled_from("stu"), st.sampled_from("ab"), st.floats(0, 50)
        )
    )
)
def test_the_counts_by_endpoint_are_those_of_the_sessions(steps: list[tuple[str, str, str, float]]) -> None:
    sessions, now = Sessions(60.0), 0.0
    for what, session, endpoint, later in steps:
        now += later
        if what == "sent":
            sessions.sent(session, endpoint, now)
        elif what == "ended":
            sessions.ended(session, now)
        else:
            sessions.sweep(now)
        assert dict(sessions.by_endpoint) == dict(Counter(known.endpoint for known in sessions._sessions.values()))
