import pytest
from aiohttp import web

from epp.doctor.pickers import PRODUCER, answering, served, sick
from turnout.epp.doctor.pages import EndpointPage, FoundByPlugin, PickerNotAskedError, fetch_pages
from turnout.framework import Diagnosis, Endpoint


async def test_the_pages_of_a_picker_are_read() -> None:
    with served(sick().app()) as url:
        pages = await fetch_pages(f"{url}/")
    assert pages.types == {PRODUCER: PRODUCER}
    assert pages.endpoints == [EndpointPage("default/a"), EndpointPage("default/b", False, "connection refused")]
    page = pages.diagnosis[PRODUCER]
    assert page.findings == [
        FoundByPlugin("silent-zero-reported", "The engine reports nothing. Look at it.", "default/a")
    ]
    assert page.endpoints["default/a"]["predicted_hit_rate"] == 0.8125


async def test_names_that_are_no_unicode_are_read_too() -> None:
    picker = sick()
    picker.endpoints = [Endpoint("default/a\ud800", "10.0.0.1", 8000)]
    picker.diagnosis = {PRODUCER: Diagnosis((), {"default/a\ud800": {"requests": 1}})}
    with served(picker.app()) as url:
        assert (await fetch_pages(url)).endpoints[0].name == "default/a\ud800"


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        pytest.param(answering(404), "answered 404; is this the metrics port of a picker?", id="not found"),
        pytest.param(answering(302), "answered 302", id="sent elsewhere"),
        pytest.param(answering(body=b"<html>"), "is not a page of this picker's version", id="no JSON"),
        pytest.param(answering(body=b"{}"), "is not a page of this picker's version", id="another document"),
        pytest.param(answering(body=b'{"plugins": 7}'), "is not a page of this picker's version", id="another type"),
        pytest.param(answering(body=b"[" * 100_000), "is not a page of this picker's version", id="nested deeply"),
        pytest.param(answering(body=b"\xff\xfe"), "is not a page of this picker's version", id="no text"),
        pytest.param(answering(body=b" " * 100_001), "is longer than 100000 bytes", id="too long"),
        pytest.param(answering(hangs=True), "did not answer within 0.5 s", id="silent"),
    ],
)
async def test_what_is_no_picker_is_an_error(app: web.Application, problem: str) -> None:
    with served(app) as url, pytest.raises(PickerNotAskedError, match=problem):
        await fetch_pages(url, max_bytes=100_000, timeout_seconds=0.5 if "within" in problem else 10.0)


async def test_nobody_on_the_port_is_an_error() -> None:
    with served(answering()) as url:
        pass
    with pytest.raises(PickerNotAskedError, match=f"{url}/diagnosis cannot be read: Cannot connect"):
        await fetch_pages(url)


@pytest.mark.parametrize("url", ["", "localhost:9090", "ftp://x", "http://", "http://[::1", "http://x:99999"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises((ValueError, PickerNotAskedError)):
        await fetch_pages(url)
