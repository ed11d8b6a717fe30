import io

from hypothesis import given
from rich.console import Console

from epp.doctor.pickers import served
from epp.status.pickers import advice, picker, target
from epp.status.test_pages import statuses
from turnout.epp.status.pages import AdvicePage, EndpointPage, QueuePage, Status, TargetPage, WindowPage, fetch_status
from turnout.epp.status.tables import render_status


def shown(status: Status) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=60, soft_wrap=True).print(render_status(status))
    return [line.rstrip() for line in written.getvalue().splitlines()]


async def test_everything_at_a_glance() -> None:
    with served(picker(targets=[target(), target(3.0, 1.25, target="batch", selects={})])) as url:
        status = await fetch_status(url)
    assert shown(status) == [
        "ready",
        "",
        "endpoints: 1 of 2 in service",
        "  endpoint   waiting  running  KV cache  in flight     age  note",
        "  default/a        2    1,200       50%          6  250 ms",
        "  default/b        -        -         -          0       -  out of service: connection refused",
        "",
        "queue: 12 requests wait (3.4 MB), saturation 0.95, one more at the end would wait 1.25 s, strategy slo-first",
        "  priority  level  requests   at most     bytes  flows    oldest",
        "        10  gold          2     5,000  400.0 kB      1    500 ms",
        "        -5  -            10  no limit    3.0 MB      4  3.33 min",
        "",
        "promises: 1 of 2 burning",
        "  target  promise             requests     met  observed     burn rate            long  note",
        "  chat    p99 ttft <= 500 ms     1,000  99.95%    432 ms  0.5 in 5 min   0.5 in 60 min  level gold",
        "  batch   p99 ttft <= 500 ms     1,000  99.95%    432 ms    3 in 5 min  1.25 in 60 min",
        "burning: batch spends its error budget 3 and 1.25 times faster than promised",
    ]


async def test_the_advice_about_replicas_is_a_table() -> None:
    unknown = advice(group="", basis="lag", needed=None, reason="unknown", current=None)
    with served(picker(queue=None, targets=None, advised=[advice(), unknown])) as url:
        status = await fetch_status(url)
    assert shown(status)[-4:] == [
        "replicas: advice",
        "  group  by      there are  should be  load asks for  least  most  reason",
        "  llama  tokens          2          4           3.25      1    10  load",
        "  all    lag             -          4              -      1    10  unknown",
    ]


def test_what_is_not_there_is_not_shown() -> None:
    assert shown(Status("the endpoints are not known yet", [])) == [
        "not ready: the endpoints are not known yet",
        "",
        "endpoints: 0 of 0 in service",
    ]
    assert shown(Status("", [], QueuePage(enabled=False)))[-1] == "queue: flow control is off"
    assert shown(Status("", [], QueuePage(enabled=True, queued=0, bytes=0, saturation=0.0)))[-1] == (
        "queue: 0 requests wait (0.0 kB), saturation 0, one more at the end would wait -"
    )
    assert shown(Status("", [], QueuePage(enabled=True, queued=9, deferred=8, bytes=0, saturation=0.0)))[-1] == (
        "queue: 9 requests wait (0.0 kB), 8 of them deferred, saturation 0, one more at the end would wait -"
    )


def test_a_promise_that_each_request_brings_with_it_and_that_nobody_has_asked_for() -> None:
    window = WindowPage(43_200.0, 0, None, 0.0)
    lines = shown(Status("", [], None, [TargetPage("p", "own", "tpot", 99.999, None, window, window)]))
    assert lines[-1] == "  own     p99.999 tpot as asked for         0    -         -  0 in 12 h  0 in 12 h"


def test_what_would_move_a_terminal_s_cursor_is_replaced() -> None:
    window = WindowPage(1.0, 1, 0.0, 2.0)
    evil = "x\x1b[2J\n"
    lines = shown(
        Status(
            evil,
            [EndpointPage(evil, in_service=False, reason=evil)],
            QueuePage(enabled=True, strategy=evil),
            [TargetPage(evil, evil, evil, 99.0, 1.0, window, window, {evil: evil})],
            [AdvicePage(evil, evil, evil, 1, reason=evil)],
        )
    )
    assert not any("\x1b" in line for line in lines)
    assert len(lines) == 16


@given(status=statuses)
def test_whatever_the_pages_say_can_be_shown(status: Status) -> None:
    assert shown(status)


def test_a_thousand_endpoints_are_a_thousand_lines() -> None:
    assert len(shown(Status("", [EndpointPage(f"default/{number}") for number in range(1000)]))) == 1004
