from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.requests.fakes import CHAT, House
from turnout.epp.flowcontrol.outcomes import EVICTED_WHILE_RUNNING as EVICTED
from turnout.epp.requests.director import DirectorOptions
from turnout.epp.requests.dispatch import Dispatch, LoggedEnd
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.requests.openai import OpenAIParser
from turnout.framework import Headers, Named, Refusal, Termination, Usage

HEADERS = [(":path", "/v1/chat/completions"), ("x-request-id", "r1")]
OK = Headers([(":status", "200"), ("content-type", "application/json")])
EVENTS = Headers([(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")])
NATURAL_END = LoggedEnd(Termination.NATURAL, 200, "10.0.0.1:8000", 1, False, 0.2, 500)


async def dispatched(house: House, *more: tuple[str, str], in_log: bool = False) -> Dispatch:
    head = RequestHead(Headers([*HEADERS, *more]), lease="lease-1" if in_log else "")
    outcome = await house.director.route(head, RequestBody(CHAT))
    assert isinstance(outcome, Dispatch)
    return outcome


async def test_a_response_is_shown_measured_and_ends_the_request() -> None:
    house = House(names=["a"])
    sent = await dispatched(house)
    house.clock.now += 0.5
    assert sent.response_headers(EVENTS) == {"x-session-token": "t"}
    house.clock.now += 0.25
    assert sent.response_body(b'data: {"usage":{"prompt_tok', last=False) is None
    assert sent.response_body(b'ens":9,"completion_tokens":2}}\n\n', last=True) is None
    (completion,) = house.reports.completions
    assert house.book.seen == ["head 200", "body 27 first", "body 32 last"]
    assert completion.usage == Usage(9, 2)
    assert completion.first_byte_seconds == pytest.approx(0.75)
    assert completion.duration_seconds == pytest.approx(0.75)
    assert (completion.status, completion.response_bytes, completion.cause) == (200, 59, Termination.NATURAL)
    assert house.in_flight() == 0


async def test_the_gaps_between_pieces_of_a_stream_are_reported() -> None:
    house = House(names=["a"])
    streamed, whole = await dispatched(house), await dispatched(house)
    for sent, head in ((streamed, EVENTS), (whole, OK)):
        sent.response_headers(head)
        for piece in (b"one", b"two", b"", b"three"):
            house.clock.now += 0.5
            sent.response_body(piece, last=piece == b"three")
    assert house.reports.gaps == [0.5, 1.0]


async def test_the_model_name_is_rewritten_on_the_way_in_and_restored_on_the_way_out() -> None:
    sent = await dispatched(House(names=["a"]), ("x-llm-d-model-name-rewrite", "target"))
    assert sent.routed.body == CHAT.replace(b'"m"', b'"target"')
    assert sent.rewrites_response
    sent.response_headers(OK)
    assert sent.response_body(b'{"model":"target"}', last=True) == b'{"model":"m"}'


async def test_an_unchanged_request_leaves_the_response_alone() -> None:
    sent = await dispatched(House(names=["a"]))
    assert not sent.rewrites_response
    sent.response_headers(OK)
    assert sent.response_body(b'{"model":"m"}', last=True) is None


@pytest.mark.parametrize("where", ["response_headers", "response_body", "response_complete"])
async def test_a_plugin_that_fails_on_the_response_costs_only_its_own_work(where: str) -> None:
    house = House(names=["a"])
    house.book.fail_in = where
    sent = await dispatched(house)
    sent.response_headers(OK)
    sent.response_body(b"{}", last=True)
    assert [error.plugin for error in house.reports.failures] == ["book"]
    assert (house.in_flight(), len(house.reports.completions)) == (0, 1)


async def test_a_parser_that_cannot_read_usage_costs_the_usage_only() -> None:
    class Broken(OpenAIParser):
        def usage(self, body: bytes) -> Usage | None:
            raise KeyError("usage")

    house = House(names=["a"])
    sent = await dispatched(house)
    sent.parser = Named(Broken(), "mine")
    sent.response_headers(OK)
    sent.response_body(b"{}", last=True)
    assert [error.plugin for error in house.reports.failures] == ["mine"]
    assert [completion.usage for completion in house.reports.completions] == [None]


async def test_a_stream_that_closes_early_is_a_client_that_left() -> None:
    house = House(names=["a"])
    sent = await dispatched(house)
    sent.response_headers(OK)
    sent.stream_closed()
    assert [completion.cause for completion in house.reports.completions] == [Termination.CLIENT_DISCONNECT]


async def test_server_errors_take_an_endpoint_out_of_service() -> None:
    house = House(names=["a", "b"])
    for _ in range(6):
        sent = await dispatched(house)
        failed = sent.result.endpoint.name == "default/a"
        sent.response_headers(Headers([(":status", "500" if failed else "200")]))
        sent.response_body(b"", last=True)
    assert {endpoint.name for endpoint in house.store.candidates()} <= {"default/a", "default/b"}
    for _ in range(3):
        house.store.request_failed("default/a")
    assert [endpoint.name for endpoint in house.store.candidates()] == ["default/b"]


# --- ends from the access log ----------------------------------------------------------------------------


async def test_the_access_log_ends_a_request_whose_stream_is_long_over() -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=True)
    sent.stream_closed()
    assert (house.in_flight(), len(house.leases)) == (1, 1)
    assert house.leases.ended("lease-1", NATURAL_END)
    (completion,) = house.reports.completions
    assert (house.in_flight(), len(house.leases)) == (0, 0)
    assert (completion.status, completion.served_by, completion.response_bytes) == (200, "10.0.0.1:8000", 500)
    assert completion.first_byte_seconds == 0.2


async def test_attempts_before_the_last_are_failures_of_the_first_in_the_list() -> None:
    house = House(names=["a", "b"], options=DirectorOptions(fallback_endpoints=1))
    for _ in range(3):
        sent = await dispatched(house, ("x-only", "a"), in_log=True)
        dead, alive = sent.routed.destination.split(",")
        if dead == "10.0.0.2:8000":
            sent.finish(Termination.NATURAL)
            continue
        house.leases.ended("lease-1", replace(NATURAL_END, served_by=alive, attempts=2))
    while house.store.statuses()[0].in_service:
        house.store.request_failed("default/a")
    assert [endpoint.name for endpoint in house.store.candidates()] == ["default/b"]


async def test_a_client_that_left_says_nothing_about_the_endpoint() -> None:
    house = House(names=["a", "b"])
    for _ in range(10):
        await dispatched(house, in_log=True)
        house.leases.ended(
            "lease-1", LoggedEnd(Termination.CLIENT_DISCONNECT, None, "10.0.0.1:8000", 1, False, None, 0)
        )
    assert all(status.in_service for status in house.store.statuses())


def out_of_service(house: House) -> list[str]:
    return [status.name for status in house.store.statuses() if not status.in_service]


END_OF_A = replace(NATURAL_END, served_by="10.0.0.1:8000")


@pytest.mark.parametrize(
    ("end", "ejects"),
    [
        pytest.param(replace(END_OF_A, status=500), True, id="an internal error of the engine"),
        pytest.param(replace(END_OF_A, status=503), True, id="an engine that is not available"),
        pytest.param(replace(END_OF_A, cause=Termination.ERROR, failed_upstream=True), True, id="a broken connection"),
        pytest.param(replace(END_OF_A, cause=Termination.ERROR, status=504), True, id="a request that got no answer"),
        pytest.param(replace(END_OF_A, status=400), False, id="a request that the engine refuses"),
        pytest.param(replace(END_OF_A, status=429), False, id="an engine that is busy"),
        pytest.param(replace(END_OF_A, status=501), False, id="an API that the model does not have"),
        pytest.param(replace(END_OF_A, cause=Termination.ERROR), False, id="a response that stopped midway"),
        pytest.param(
            replace(END_OF_A, status=503, served_by=None, attempts=0, cause=Termination.ERROR, failed_upstream=True),
            False,
            id="an answer of the proxy itself",
        ),
    ],
)
async def test_only_what_the_endpoint_did_speaks_against_it(end: LoggedEnd, ejects: bool) -> None:
    house = House(names=["a", "b"])
    for _ in range(3):
        head = RequestHead(Headers(HEADERS), ("10.0.0.1:8000",), lease="lease-1")
        await house.director.route(head, RequestBody(CHAT))
        house.leases.ended("lease-1", end)
    assert out_of_service(house) == (["default/a"] if ejects else [])


async def test_a_response_that_stopped_midway_does_not_end_a_trial_either() -> None:
    house = House(names=["a", "b"])
    for _ in range(3):
        house.store.request_failed("default/a")
    house.clock.now += 1.0
    head = RequestHead(Headers(HEADERS), ("10.0.0.1:8000",), lease="lease-1")
    await house.director.route(head, RequestBody(CHAT))
    house.leases.ended("lease-1", replace(END_OF_A, cause=Termination.ERROR))
    assert out_of_service(house) == ["default/a"]


@pytest.mark.parametrize(("status", "out"), [("500", ["default/a"]), ("501", []), ("429", [])])
async def test_statuses_that_pass_through_the_stream_are_judged_alike(status: str, out: list[str]) -> None:
    house = House(names=["a", "b"])
    for _ in range(3):
        sent = await house.director.route(RequestHead(Headers(HEADERS), ("10.0.0.1:8000",)), RequestBody(CHAT))
        assert isinstance(sent, Dispatch)
        sent.response_headers(Headers([(":status", status)]))
        sent.response_body(b"", last=True)
    assert out_of_service(house) == out


# --- eviction --------------------------------------------------------------------------------------------


class Stream:
    """Takes a dispatch back as an ext_proc stream does, and keeps what the client was told."""

    def __init__(self, sent: Dispatch) -> None:
        self.told: list[Refusal] = []
        self._sent = sent
        sent.evictor = self.evict

    def evict(self, refusal: Refusal) -> bool:
        self.told.append(refusal)
        self._sent.finish(Termination.EVICTED)
        return True


@pytest.mark.parametrize("in_log", [True, False])
async def test_an_evicted_request_is_released_before_evict_returns(in_log: bool) -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=in_log)
    stream = Stream(sent)
    ends: list[int] = []
    sent.add_end_listener(lambda: ends.append(house.in_flight()))
    assert sent.evict(EVICTED)
    assert (ends, house.book.open, len(house.leases)) == ([0], 0, 0)
    assert stream.told == [EVICTED]
    (completion,) = house.reports.completions
    assert (completion.cause, completion.status) == (Termination.EVICTED, None)


async def test_what_the_access_log_says_of_an_evicted_request_changes_nothing() -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=True)
    Stream(sent)
    assert sent.evict(EVICTED)
    assert not house.leases.ended("lease-1", replace(NATURAL_END, status=429))
    sent.stream_closed()
    assert [completion.cause for completion in house.reports.completions] == [Termination.EVICTED]


async def test_a_request_whose_end_came_first_is_not_evicted() -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=True)
    stream = Stream(sent)
    house.leases.ended("lease-1", NATURAL_END)
    assert not sent.evict(EVICTED)
    assert stream.told == []
    assert [completion.cause for completion in house.reports.completions] == [Termination.NATURAL]


async def test_a_request_without_a_stream_is_not_evicted_and_goes_on() -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=True)
    assert not sent.evict(EVICTED)
    assert (house.in_flight(), house.reports.completions) == (1, [])


async def test_evictions_say_nothing_about_the_endpoint() -> None:
    house = House(names=["a", "b"])
    for number in range(10):
        sent = await house.director.route(
            RequestHead(Headers(HEADERS), ("10.0.0.1:8000",), lease=f"lease-{number}"), RequestBody(CHAT)
        )
        assert isinstance(sent, Dispatch)
        Stream(sent)
        assert sent.evict(EVICTED)
        reset = replace(END_OF_A, status=429, cause=Termination.ERROR, failed_upstream=True)
        house.leases.ended(f"lease-{number}", reset)
    assert out_of_service(house) == []


async def test_a_dispatch_knows_whether_its_response_has_begun_and_when_it_was_dispatched() -> None:
    house = House(names=["a"])
    house.clock.now = 250.0
    sent = await dispatched(house)
    assert (sent.dispatched_at, sent.response_begun) == (250.0, False)
    sent.response_headers(OK)
    assert sent.response_begun


async def test_a_running_request_is_shown_to_queue_policies_without_a_deadline() -> None:
    sent = await dispatched(House(names=["a"]))
    assert sent.queued.request is sent.request
    assert sent.queued.state is sent.state
    assert (sent.queued.enqueued_at, sent.queued.deadline) == (100.0, float("inf"))


async def test_every_listener_hears_of_the_end_once_and_a_late_one_at_once() -> None:
    sent = await dispatched(House(names=["a"]))
    heard: list[str] = []
    sent.add_end_listener(lambda: heard.append("first"))
    sent.add_end_listener(lambda: heard.append("second"))
    assert heard == []
    sent.finish(Termination.NATURAL)
    sent.finish(Termination.ERROR)
    assert heard == ["first", "second"]
    sent.add_end_listener(lambda: heard.append("late"))
    assert heard == ["first", "second", "late"]


ENDS = {
    "natural": lambda sent: sent.finish(Termination.NATURAL),
    "error": lambda sent: sent.finish(Termination.ERROR),
    "closed": lambda sent: sent.stream_closed(),
    "logged": lambda sent: sent.logged(NATURAL_END),
    "last byte": lambda sent: sent.response_body(b"x", last=True),
    "head": lambda sent: sent.response_headers(OK),
    "evict": lambda sent: sent.evict(EVICTED),
}


@given(st.lists(st.sampled_from(sorted(ENDS)), max_size=8), st.booleans())
async def test_in_any_order_of_ends_exactly_one_counts(order: list[str], in_log: bool) -> None:
    house = House(names=["a"])
    sent = await dispatched(house, in_log=in_log)
    Stream(sent)
    for name in order:
        ENDS[name](sent)
    final = {"natural", "error", "logged", "last byte", "evict"} | (set() if in_log else {"closed"})
    ended = bool(final & set(order))
    assert len(house.reports.completions) == ended
    assert house.in_flight() == house.book.open == 1 - ended
