import pytest

from epp.doctor.pickers import PRODUCER, answering, served, sick
from turnout.epp.admin.reading import PickerNotAskedError
from turnout.epp.doctor.pages import EndpointPage, FoundByPlugin, fetch_pages
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


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"plugins": 7}'])
async def test_what_is_no_picker_is_an_error(body: bytes) -> None:
    with served(answering(body=body)) as url, pytest.raises(PickerNotAskedError, match="/diagnosis is not a page"):
        await fetch_pages(url)
