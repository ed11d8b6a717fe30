import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import produce
from turnout.framework import Headers, InferenceRequest, PluginName
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.session_id.keys import SESSION_ID
from turnout.plugins.session_id.producer import SessionIdProducer


def request_with(*headers: tuple[str, str]) -> InferenceRequest:
    return InferenceRequest("r1", headers=Headers(headers))


def found(producer: SessionIdProducer, request: InferenceRequest, name: str = "") -> str:
    return produce(producer, request, make_state(), []).read(SESSION_ID.of(name))


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        pytest.param([("x-session-id", "s1")], "s1", id="the header"),
        pytest.param([("X-Session-ID", "s1")], "s1", id="in any case"),
        pytest.param([("x-session-id", " s1 ")], "s1", id="without the space around"),
        pytest.param([("x-session-id", "s1"), ("x-session-id", "s2")], "s1", id="the first of two"),
        pytest.param([], "", id="no header"),
        pytest.param([("x-session-id", "  ")], "", id="nothing but space"),
        pytest.param([("x-session-id", "s" * 256)], "s" * 256, id="as long as may be"),
        pytest.param([("x-session-id", "s" * 257)], "", id="too long"),
    ],
)
def test_a_header_s_value_is_the_id(headers: list[tuple[str, str]], session: str) -> None:
    assert found(SessionIdProducer(header_name="X-Session-Id"), request_with(*headers)) == session


@pytest.mark.parametrize(
    ("cookies", "session"),
    [
        pytest.param(["sid=s1"], "s1", id="alone"),
        pytest.param(["a=1; sid=s1; b=2"], "s1", id="among others"),
        pytest.param(["a=1;sid = s1 ;b=2"], "s1", id="with space in other places"),
        pytest.param(["a=1", "sid=s1"], "s1", id="in a second header"),
        pytest.param(["sid=s1; sid=s2"], "s1", id="the first of two"),
        pytest.param(["sid=c2Vzc2lvbg=="], "c2Vzc2lvbg==", id="with an equals sign in the value"),
        pytest.param(['{"a": [1]}; path=/; $x; sid=s1'], "s1", id="behind pairs that are none"),
        pytest.param(["SID=s1; xsid=s2; sidx=s3; =s4; s5"], "", id="only other names"),
        pytest.param(["sid"], "", id="without a value"),
        pytest.param(["sid="], "", id="with an empty value"),
        pytest.param([f"sid={'s' * 257}"], "", id="too long"),
        pytest.param([";" * 60_000 + "sid=s1"], "s1", id="behind 60,000 separators"),
        pytest.param(['sid="' + "\\" * 60_000], "", id="60,000 backslashes"),
        pytest.param([], "", id="no cookies"),
    ],
)
def test_a_cookie_s_value_is_the_id(cookies: list[str], session: str) -> None:
    request = request_with(*(("cookie", cookie) for cookie in cookies))
    assert found(SessionIdProducer(cookie_name="sid"), request) == session


def test_the_plugin_s_name_is_its_key() -> None:
    producer = SessionIdProducer(header_name="x-session-id", name=PluginName("mine"))
    assert producer.writes == (SESSION_ID.of("mine"),)
    assert found(producer, request_with(("x-session-id", "s1")), "mine") == "s1"


@pytest.mark.parametrize(
    ("header", "cookie"),
    [
        pytest.param("", "", id="neither"),
        pytest.param(" ", "", id="nothing but space"),
        pytest.param("x-session-id", "sid", id="both"),
    ],
)
def test_exactly_one_place_is_given(header: str, cookie: str) -> None:
    with pytest.raises(ValueError, match="header_name and cookie_name must be given one without the other, got "):
        SessionIdProducer(header, cookie)


@given(cookie=st.text(max_size=60), value=st.text(max_size=300))
def test_whatever_a_client_sends_is_an_id_of_at_most_256_characters(cookie: str, value: str) -> None:
    headers = {"cookie": f"{cookie};sid={value}", "x-session-id": value}
    for producer in (SessionIdProducer(cookie_name="sid"), SessionIdProducer(header_name="x-session-id")):
        state = check_producer(producer, make_request(headers=headers), make_state(), [make_endpoint()])
        assert len(state.read(SESSION_ID.of(""))) <= 256
