import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, endpoint_lists, response_of
from turnout.config import ConfigError, load_pipeline
from turnout.framework import CycleState, Endpoint, InferenceRequest
from turnout.framework.testing import check_filter, check_scorer, make_endpoint, make_request, make_state
from turnout.plugins import session_affinity
from turnout.plugins.session_affinity import (
    EncodedEndpointHeaderConfig,
    SessionAffinityFilter,
    SessionAffinityScorer,
    SessionIdConfig,
    SessionIdSource,
)
from turnout.plugins.session_id.keys import SESSION_ID

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]


def with_token(name: str, header: str = "x-session-token") -> InferenceRequest:
    return make_request(headers={header: base64.b64encode(name.encode()).decode()})


def in_session(session: str, header: str = "x-session-id") -> InferenceRequest:
    return make_request(headers={header: session})


def dispatch(
    plugin: SessionAffinityFilter | SessionAffinityScorer,
    request: InferenceRequest,
    endpoint: Endpoint,
    *,
    now: float = 0.0,
    candidates: list[Endpoint] = POOL,
) -> None:
    plugin.pre_request(request, make_state(now=now), decided(endpoint, candidates=candidates))


def kept(plugin: SessionAffinityFilter, request: InferenceRequest, now: float = 0.0) -> list[Endpoint]:
    return list(plugin.filter(request, make_state(now=now), POOL))


def test_a_token_keeps_only_its_endpoint() -> None:
    assert kept(SessionAffinityFilter(), with_token("default/b")) == [B]


def test_a_token_gives_its_endpoint_the_only_score() -> None:
    scores = SessionAffinityScorer().score(with_token("default/b"), make_state(), POOL)
    assert scores == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("ZGVmYXVsdC9nb25l", id="of an endpoint that is gone"),
        pytest.param("", id="empty"),
        pytest.param("%%%", id="not base64"),
        pytest.param("ZGVmYXVsdC9", id="cut short"),
        pytest.param("/////w==", id="not UTF-8"),
        pytest.param("\u00fc\u00fc\u00fc\u00fc", id="not ASCII"),
        pytest.param("ZGVmYXVsdC9i" * 43, id="too long"),
    ],
)
def test_a_token_that_says_nothing_keeps_all(token: str) -> None:
    request = make_request(headers={"x-session-token": token})
    assert kept(SessionAffinityFilter(), request) == POOL
    assert SessionAffinityScorer().score(request, make_state(), POOL) == [0.0, 0.0, 0.0]


def test_a_response_carries_the_token_of_its_endpoint() -> None:
    plugin, request, state = SessionAffinityFilter(), make_request(), make_state()
    plugin.pre_request(request, state, decided(B))
    assert plugin.response_headers(request, state, response_of(B)) == {"x-session-token": "ZGVmYXVsdC9i"}
    assert kept(plugin, make_request(headers={"x-session-token": "ZGVmYXVsdC9i"})) == [B]


def test_the_token_s_header_and_profile_can_be_named() -> None:
    config = EncodedEndpointHeaderConfig("X-Sticky")
    plugin = SessionAffinityFilter(encoded_endpoint_header_config=config, profile_name="prefill")
    request, state = with_token("default/c", "x-sticky"), make_state()
    assert kept(plugin, request) == [C]
    plugin.pre_request(request, state, decided(A, ("prefill", B)))
    assert plugin.response_headers(request, state, response_of(A)) == {"x-sticky": "ZGVmYXVsdC9i"}


def test_without_the_named_profile_a_response_carries_no_token() -> None:
    plugin, request, state = SessionAffinityFilter(profile_name="prefill"), make_request(), make_state()
    plugin.pre_request(request, state, decided(A))
    assert plugin.response_headers(request, state, response_of(A)) is None


def test_a_session_stays_where_it_was_dispatched() -> None:
    plugin = SessionAffinityFilter("session_id")
    assert kept(plugin, in_session("s")) == POOL
    dispatch(plugin, in_session("s"), B)
    assert kept(plugin, in_session("s")) == [B]
    assert kept(plugin, in_session("other")) == POOL
    assert kept(plugin, make_request()) == POOL
    state = make_state()
    assert plugin.response_headers(in_session("s"), state, response_of(B)) is None


@pytest.mark.parametrize(
    ("candidates", "bound"),
    [
        pytest.param([A, B], A, id="its endpoint was a candidate: it stays"),
        pytest.param([B, C], B, id="its endpoint was not: it moves"),
    ],
)
def test_a_session_moves_only_when_its_endpoint_is_absent(candidates: list[Endpoint], bound: Endpoint) -> None:
    plugin = SessionAffinityScorer("session_id")
    dispatch(plugin, in_session("s"), A)
    dispatch(plugin, in_session("s"), B, candidates=candidates)
    scores = plugin.score(in_session("s"), make_state(), POOL)
    assert scores == [float(endpoint is bound) for endpoint in POOL]


def test_each_use_prolongs_a_binding() -> None:
    plugin = SessionAffinityFilter("session_id", session_id_config=SessionIdConfig(eviction_ttl_seconds=300.0))
    dispatch(plugin, in_session("s"), B, now=0.0)
    dispatch(plugin, in_session("s"), B, now=200.0)
    assert kept(plugin, in_session("s"), now=499.0) == [B]
    assert kept(plugin, in_session("s"), now=500.0) == POOL


def test_expired_bindings_are_swept_and_a_session_may_move_then() -> None:
    sessions = session_affinity._StoredSessions(SessionIdConfig(eviction_ttl_seconds=30.0, eviction_sweep_seconds=10.0))
    profile = decided(A, candidates=POOL).profiles["decode"]
    for number in range(5):
        sessions.dispatched(in_session(f"s{number}"), make_state(now=0.0), profile)
    sessions.dispatched(in_session("late"), make_state(now=15.0), profile)
    assert len(sessions) == 6
    sessions.dispatched(in_session("later"), make_state(now=31.0), profile)
    assert len(sessions) == 2
    moved = decided(B, candidates=POOL).profiles["decode"]
    sessions.dispatched(in_session("s0"), make_state(now=32.0), moved)
    assert sessions.endpoint_of(in_session("s0"), make_state(now=33.0)) == "default/b"


def test_the_number_of_bindings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_affinity, "MAX_SESSIONS", 3)
    plugin = SessionAffinityFilter("session_id")
    for session in ("s0", "s1", "s2", "s0", "s3"):
        dispatch(plugin, in_session(session), B)
    remembered = {session: kept(plugin, in_session(session)) == [B] for session in ("s0", "s1", "s2", "s3")}
    assert remembered == {"s0": True, "s1": False, "s2": True, "s3": True}


def test_an_overlong_session_id_is_not_remembered() -> None:
    plugin = SessionAffinityFilter("session_id")
    dispatch(plugin, in_session("s" * 257), B)
    assert kept(plugin, in_session("s" * 257)) == POOL
    dispatch(plugin, in_session("s" * 256), B)
    assert kept(plugin, in_session("s" * 256)) == [B]


def published(session: str, producer: str = "") -> CycleState:
    state = make_state()
    state.write(SESSION_ID.of(producer), session)
    return state


@pytest.mark.parametrize("producer", ["", "mine"], ids=["the default producer", "a named producer"])
def test_a_producer_s_id_is_read(producer: str) -> None:
    config = SessionIdConfig([SessionIdSource(attribute="SessionIDDataKey", producer=producer)])
    plugin = SessionAffinityFilter("session_id", session_id_config=config)
    assert plugin.reads == (SESSION_ID.of(producer),)
    plugin.pre_request(make_request(), published("s", producer), decided(B, candidates=POOL))
    assert list(plugin.filter(make_request(), published("s", producer), POOL)) == [B]
    assert list(plugin.filter(make_request(), published("other", producer), POOL)) == POOL
    assert list(plugin.filter(in_session("s"), published("", producer), POOL)) == POOL
    assert list(plugin.filter(make_request(), make_state(), POOL)) == POOL


def test_sources_of_both_kinds_are_tried_in_their_order() -> None:
    sources = [SessionIdSource("x-first"), SessionIdSource(attribute="SessionIDDataKey"), SessionIdSource("x-last")]
    plugin = SessionAffinityFilter("session_id", session_id_config=SessionIdConfig(sources))
    for session, endpoint in (("first", A), ("published", B), ("last", C)):
        dispatch(plugin, in_session(session, "x-last"), endpoint)
    headers = {"x-first": "first", "x-last": "last"}
    assert list(plugin.filter(make_request(headers=headers), published("published"), POOL)) == [A]
    assert list(plugin.filter(make_request(headers=headers | {"x-first": ""}), published("published"), POOL)) == [B]
    assert list(plugin.filter(make_request(headers={"x-last": "last"}), published(""), POOL)) == [C]


def test_nothing_is_read_with_headers_or_tokens_only() -> None:
    config = SessionIdConfig([SessionIdSource(attribute="SessionIDDataKey")])
    assert SessionAffinityFilter("session_id").reads == ()
    assert SessionAffinityScorer(session_id_config=config).reads == ()


CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: session-affinity-filter
  parameters:
    strategy: session_id
    sessionIdConfig: {sources: [{attribute: SessionIDDataKey, producer: by-cookie}]}
- {type: session-id-producer, name: by-cookie, parameters: {cookieName: sid}}
"""


def test_a_configuration_brings_reader_and_producer_together() -> None:
    pipeline = load_pipeline(CONFIG)
    assert "by-cookie" in [named.name for stage in pipeline.producer_stages for named in stage]


def test_a_session_id_that_nobody_is_told_to_find_is_a_problem() -> None:
    with pytest.raises(ConfigError) as refused:
        load_pipeline(CONFIG.replace(", producer: by-cookie", ""))
    assert [problem.message for problem in refused.value.problems] == [
        "headerName and cookieName must be given one without the other, got '' and ''"
    ]


def test_the_first_source_that_is_present_counts() -> None:
    config = SessionIdConfig([SessionIdSource("X-First"), SessionIdSource("x-second")])
    plugin = SessionAffinityFilter("session_id", session_id_config=config)
    dispatch(plugin, in_session("s", "x-second"), B)
    assert kept(plugin, in_session("s", "x-first")) == [B]
    both = make_request(headers={"x-second": "s", "x-first": "unknown"})
    assert kept(plugin, both) == POOL


@pytest.mark.parametrize(
    ("header", "session", "message"),
    [
        pytest.param("", SessionIdConfig(), "encoded_endpoint_header_config.header must not be empty", id="no header"),
        pytest.param("h", SessionIdConfig([]), "sources must have at least one source, got none", id="no source"),
        pytest.param(
            "h",
            SessionIdConfig([SessionIdSource("")]),
            r"sources\[0\]: header and attribute must be given one without the other, got '' and ''",
            id="nameless source",
        ),
        pytest.param(
            "h",
            SessionIdConfig([SessionIdSource("x"), SessionIdSource("x", "SessionIDDataKey")]),
            r"sources\[1\]: header and attribute must be given one without the other, got 'x' and 'SessionIDDataKey'",
            id="a source in two places",
        ),
        pytest.param(
            "h",
            SessionIdConfig([SessionIdSource(attribute="agent-identity")]),
            r"sources\[0\].attribute must be SessionIDDataKey, got 'agent-identity'",
            id="an attribute that nobody publishes",
        ),
        pytest.param(
            "h",
            SessionIdConfig([SessionIdSource("x", producer="mine")]),
            r"sources\[0\].producer must be empty without an attribute, got 'mine'",
            id="a producer without an attribute",
        ),
        pytest.param(
            "h",
            SessionIdConfig(eviction_ttl_seconds=0.0),
            "session_id_config.eviction_ttl_seconds must be positive and finite, got 0.0",
            id="no time to live",
        ),
        pytest.param(
            "h",
            SessionIdConfig(eviction_sweep_seconds=float("nan")),
            "session_id_config.eviction_sweep_seconds must be positive and finite, got nan",
            id="no number",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(header: str, session: SessionIdConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionAffinityScorer("session_id", EncodedEndpointHeaderConfig(header), session)


@given(endpoints=endpoint_lists(), token=st.text(max_size=40))
def test_the_plugins_keep_their_contracts(endpoints: list[Endpoint], token: str) -> None:
    for request in (make_request(headers={"x-session-token": token}), with_token("default/e0")):
        check_filter(SessionAffinityFilter(), request, make_state(), endpoints)
        check_scorer(SessionAffinityScorer(), request, make_state(), endpoints)
