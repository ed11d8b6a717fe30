from datetime import timedelta
from typing import Any

import pytest

from turnout.plugins.feeds.source import FeedSource


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param({}, "file or url must be given, and not both", id="no place"),
        pytest.param({"file": "a", "url": "http://b"}, "file or url must be given, and not both", id="two places"),
        pytest.param({"url": "ftp://b/c"}, "url must be an address that begins with http", id="another scheme"),
        pytest.param({"url": "http://"}, "url must be an address", id="no host"),
        pytest.param({"url": "http://b:99999/"}, "url must be an address", id="a port that is none"),
        pytest.param({"url": "http://b/ c"}, "url must be an address", id="a blank"),
        pytest.param(
            {"file": "a", "interval": timedelta(milliseconds=5)}, "interval must be 0 or at least 0.1 s", id="in a spin"
        ),
        pytest.param({"file": "a", "timeout": timedelta(0)}, "timeout must be above 0, got 0 s", id="no time at all"),
        pytest.param({"file": "a", "max_bytes": 0}, "max_bytes must be from 1 to 67108864, got 0", id="nothing"),
        pytest.param({"file": "a", "max_bytes": 2**40}, "max_bytes must be from 1 to 67108864", id="a terabyte"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FeedSource(**given)


def test_files_are_looked_at_more_often_than_servers() -> None:
    assert FeedSource(file="a").interval_seconds == 2.0
    assert FeedSource(url="http://b").interval_seconds == 60.0
    assert FeedSource(url="http://b", interval=timedelta(seconds=5)).interval_seconds == 5.0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("https://me:secret@b:8/c?token=secret#d", "https://b:8/c", id="credentials and a query"),
        pytest.param("http://b/c", "http://b/c", id="nothing to hide"),
    ],
)
def test_secrets_of_an_address_are_not_shown(url: str, shown: str) -> None:
    assert FeedSource(url=url).shown == shown
