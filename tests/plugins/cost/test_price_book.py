import asyncio
import os
from pathlib import Path

import pytest

from turnout.framework import Endpoint, WallClock
from turnout.framework.testing import make_endpoint
from turnout.plugins.cost.price_book import PriceBook
from turnout.plugins.cost.price_labels import PriceLabels
from turnout.plugins.cost.prices import HourPrice, PriceEntry
from turnout.plugins.feeds.source import FeedSource

LISTED = (PriceEntry("small", per_hour=1.0), PriceEntry("large", per_hour=9.0))


def book(file: Path | None = None, entries: tuple[PriceEntry, ...] = LISTED, label: str = "type") -> PriceBook:
    source = None if file is None else FeedSource(file=str(file))
    return PriceBook("USD", PriceLabels(), label, entries, source, None, WallClock())


def labelled(name: str = "a", **labels: str) -> Endpoint:
    own = {"price": "turnout/price-per-hour"}
    return make_endpoint(name, labels={own.get(key, key): value for key, value in labels.items()})


def write(path: Path, text: str, dated: float) -> None:
    path.write_text(text)
    os.utime(path, (dated, dated))


def priced(value: str, per_hour: float) -> str:
    return f'{{"prices": [{{"value": "{value}", "perHour": {per_hour}}}]}}'


@pytest.mark.parametrize(
    ("endpoint", "price"),
    [
        pytest.param(labelled(type="small"), HourPrice(1.0), id="listed"),
        pytest.param(labelled(type="small", price="4"), HourPrice(4.0), id="its own label goes first"),
        pytest.param(labelled(type="small", price="x"), None, id="its own label is meant, and not good"),
        pytest.param(labelled(type="huge"), None, id="not listed"),
        pytest.param(labelled(), None, id="nothing to look up"),
    ],
)
def test_a_price_is_found_by_labels(endpoint: Endpoint, price: object) -> None:
    assert book().price(endpoint) == price


def test_other_labels_make_another_price() -> None:
    prices = book()
    assert prices.price(labelled(type="small")) == HourPrice(1.0)
    assert prices.price(labelled(type="large")) == HourPrice(9.0)


async def test_a_file_goes_before_the_list_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    write(file, priced("small", 2), 1000.0)
    prices = book(file)
    assert prices.feed is not None
    small, large = labelled(type="small"), labelled("b", type="large")
    assert (prices.price(small), prices.price(large)) == (HourPrice(2.0), HourPrice(9.0))
    write(file, priced("small", 3), 2000.0)
    await prices.feed.refresh()
    assert prices.price(small) == HourPrice(3.0)


@pytest.mark.parametrize("text", ["", "{", priced("small", -1), '{"prices": [], "currency": "EUR"}'])
async def test_a_file_that_turns_bad_is_reported_and_the_last_good_one_stays(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    write(file, priced("small", 2), 1000.0)
    prices = book(file)
    assert prices.feed is not None
    write(file, text, 2000.0)
    await prices.feed.refresh()
    assert prices.price(labelled(type="small")) == HourPrice(2.0)
    now = asyncio.get_running_loop().time()
    assert [finding.cause for finding in prices.findings([], now, "")] == ["feed-failed"]


@pytest.mark.parametrize("text", [None, "", priced("small", -1), '{"prices": [], "currency": "EUR"}'])
def test_a_file_that_is_bad_at_the_start_stops_it(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "prices.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=r"prices\.json: "):
        book(file)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        pytest.param(
            labelled(price="-1"),
            "its price is not good: per_hour must be from 0 to 1e+09, got -1.0; it is left out",
            id="a bad label",
        ),
        pytest.param(
            labelled(),
            "it has no label with a price, and no label 'type' to look one up by; it is left out",
            id="no label",
        ),
        pytest.param(
            labelled(type="huge"),
            "it has no label with a price, and none is listed for type='huge'; it is left out",
            id="not listed",
        ),
    ],
)
def test_an_endpoint_without_a_price_is_told(endpoint: Endpoint, message: str) -> None:
    (finding,) = book().findings([labelled("b", type="small"), endpoint], 0.0, "it is left out")
    assert (finding.cause, finding.endpoint, finding.message) == ("unknown-price", "default/a", message)


def test_findings_are_bounded() -> None:
    assert len(book().findings([labelled(f"e{number}") for number in range(100)], 0.0, "")) == 20


def test_lists_need_a_label_to_look_them_up_by() -> None:
    with pytest.raises(ValueError, match="price_label must not be empty with prices or a price_file"):
        book(label="")
    assert book(entries=(), label="").price(labelled(price="2")) == HourPrice(2.0)


def test_endpoints_that_left_are_forgotten() -> None:
    prices = book()
    for number in range(50):
        prices.price(labelled(f"e{number}", type="small"))
    prices.endpoints_changed([labelled("e1", type="small")])
    assert list(prices._known) == ["default/e1"]
