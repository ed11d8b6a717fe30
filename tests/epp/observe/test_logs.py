import io
import json
import logging
from collections.abc import Iterator

import pytest

from turnout.epp.observe.logs import LogFormat, RefusalLog, configure_logging, level_of, log_handler
from turnout.epp.requests.observer import RequestObserver
from turnout.framework import ExtensionPoint, PluginError, Refusal, RefusalKind, plugin_boundary

FORGED = "m\n2030-01-01T00:00:00Z ERROR root: forged\r\u2028"
NOT_UTF_8 = b"m\xff".decode("utf-8", "surrogateescape")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The product's logger with every level on; restored afterwards."""
    product = logging.getLogger("turnout")
    level = product.level
    product.setLevel(logging.DEBUG)
    yield product
    product.setLevel(level)
    for handler in tuple(product.handlers):
        product.removeHandler(handler)


def written(logger: logging.Logger, log_format: LogFormat) -> io.StringIO:
    stream = io.StringIO()
    logger.addHandler(log_handler(log_format, stream))
    return stream


@pytest.mark.parametrize(
    ("verbosity", "level"),
    [
        pytest.param(0, logging.WARNING, id="0 shows warnings"),
        pytest.param(1, logging.WARNING, id="1 shows warnings"),
        pytest.param(2, logging.INFO, id="2, the default, shows information"),
        pytest.param(3, logging.INFO, id="3 shows information"),
        pytest.param(4, logging.DEBUG, id="4 debugs"),
        pytest.param(5, logging.DEBUG, id="5 traces"),
    ],
)
def test_verbosity_counts_as_in_go(verbosity: int, level: int) -> None:
    assert level_of(verbosity) == level


def test_a_refusal_is_one_json_line_with_id_model_status_and_reason(logger: logging.Logger) -> None:
    stream = written(logger, "json")
    observer: RequestObserver = RefusalLog()
    observer.refused("r1", "m", Refusal(RefusalKind.RESOURCE_EXHAUSTED, "no endpoints left", "rejected-saturated"))
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "turnout.epp.observe.logs",
        "msg": "request refused",
        "request_id": "r1",
        "model": "m",
        "status": 429,
        "code": "ResourceExhausted",
        "reason": "no endpoints left",
        "dropped_reason": "rejected-saturated",
    }


def test_a_refusal_as_text_has_the_same_fields(logger: logging.Logger) -> None:
    stream = written(logger, "text")
    RefusalLog().refused("r1", "m", Refusal(RefusalKind.UNAVAILABLE, "pool is empty"))
    _, _, line = stream.getvalue().partition(" ")
    assert line == (
        'WARNING turnout.epp.observe.logs: request refused request_id="r1" model="m" status=503 '
        'code="ServiceUnavailable" reason="pool is empty" dropped_reason=""\n'
    )


@pytest.mark.parametrize("log_format", [pytest.param("json", id="json"), pytest.param("text", id="text")])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(FORGED, id="line ends and a forged line"),
        pytest.param(NOT_UTF_8, id="bytes that are no UTF-8"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
    ],
)
def test_what_a_client_sends_stays_within_one_short_line(
    logger: logging.Logger, log_format: LogFormat, sent: str
) -> None:
    stream = written(logger, log_format)
    RefusalLog().refused(sent, sent, Refusal(RefusalKind.BAD_REQUEST, sent))
    logger.warning("cannot read %s", sent)
    lines = stream.getvalue().encode().splitlines()
    assert len(lines) == 2
    assert all(len(line) < 6000 for line in lines)


def failure_of_a_plugin() -> PluginError:
    try:
        with plugin_boundary("my-scorer", ExtensionPoint.SCORER):
            raise ValueError("the secret prompt\nforged")
    except PluginError as error:
        return error


def test_what_a_plugin_raised_is_logged_by_type_and_place_and_not_by_its_text(logger: logging.Logger) -> None:
    logger.setLevel(logging.INFO)
    stream = written(logger, "json")
    RefusalLog().plugin_failed("r1", failure_of_a_plugin())
    line = json.loads(stream.getvalue())
    assert (line["plugin"], line["extension_point"], line["raised"]) == ("my-scorer", "Scorer", "ValueError")
    assert "test_logs.py:" in line["at"]
    assert "secret" not in stream.getvalue()


def test_a_broken_contract_is_logged_in_the_frameworks_words(logger: logging.Logger) -> None:
    stream = written(logger, "json")
    logger.setLevel(logging.INFO)
    RefusalLog().plugin_failed("r1", PluginError("p", ExtensionPoint.PICKER, "it picked no endpoint"))
    assert json.loads(stream.getvalue())["problem"] == "it picked no endpoint"


def test_debugging_adds_the_traceback_on_lines_that_cannot_pass_for_others(logger: logging.Logger) -> None:
    stream = written(logger, "text")
    RefusalLog().plugin_failed("r1", failure_of_a_plugin())
    first, second, *traceback = stream.getvalue().splitlines()
    assert "plugin failed " in first
    assert "plugin failed, in full" in second
    assert traceback
    assert all(line.startswith("    ") for line in traceback)
    assert any("the secret prompt" in line for line in traceback)


def test_setup_writes_to_standard_error_and_keeps_libraries_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level, product = list(root.handlers), root.level, logging.getLogger("turnout").level
    root.handlers = []
    try:
        configure_logging("json", 2)
        configure_logging("json", 2)
        logging.getLogger("turnout.epp").info("shown")
        logging.getLogger("turnout.epp").debug("hidden")
        logging.getLogger("aiohttp").info("hidden")
    finally:
        root.handlers = handlers
        root.setLevel(level)
        logging.getLogger("turnout").setLevel(product)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["msg"] for line in captured.err.splitlines()] == ["shown"]


def test_failures_of_no_request_get_a_line_a_second_with_how_many_had_none(logger: logging.Logger) -> None:
    stream, now = written(logger, "json"), [100.0]
    log = RefusalLog(lambda: now[0])
    detector = PluginError("detector", ExtensionPoint.SATURATION, "it answered NaN")
    for _ in range(500):
        log.plugin_failed("", detector)
    log.plugin_failed("", PluginError("order", ExtensionPoint.ORDERING, "it answered NaN"))
    now[0] = 101.0
    log.plugin_failed("", detector)
    log.plugin_failed("r1", detector)
    log.plugin_failed("r2", detector)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    errors = [line for line in lines if line["msg"] == "plugin failed"]
    assert [(line["plugin"], line["request_id"], line.get("left_out")) for line in errors] == [
        ("detector", "", None),
        ("order", "", None),
        ("detector", "", 499),
        ("detector", "r1", None),
        ("detector", "r2", None),
    ]
