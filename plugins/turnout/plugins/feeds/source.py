"""Where a feed is read from, as the configuration says it."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

MAX_DOCUMENT_BYTES = 64 * 2**20
SHORTEST_INTERVAL = timedelta(milliseconds=100)
_FILE_INTERVAL = timedelta(seconds=2)
_URL_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class FeedSource:
    """A document that another program keeps up to date: in ``file``, or at ``url``, which is http or https.

    It is looked at every ``interval``; 0 means 2 s for a file and 1 minute for a URL. A URL has to answer within
    ``timeout``. A document of more than ``max_bytes`` is not taken.

    Raises:
        ValueError: not exactly one place is given, or one of the bounds makes no sense.
    """

    file: str = ""
    url: str = ""
    interval: timedelta = timedelta(0)
    timeout: timedelta = timedelta(seconds=5)
    max_bytes: int = 2**20

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.url):
            raise ValueError(f"file or url must be given, and not both, got {self.file!r} and {self.url!r}")
        if self.url and not _is_address(self.url):
            raise ValueError(f"url must be an address that begins with http:// or https://, got {self.shown!r}")
        if self.interval and self.interval < SHORTEST_INTERVAL:
            raise ValueError(f"interval must be 0 or at least 0.1 s, got {self.interval.total_seconds():g} s")
        if self.timeout <= timedelta(0):
            raise ValueError(f"timeout must be above 0, got {self.timeout.total_seconds():g} s")
        if not 1 <= self.max_bytes <= MAX_DOCUMENT_BYTES:
            raise ValueError(f"max_bytes must be from 1 to {MAX_DOCUMENT_BYTES}, got {self.max_bytes}")

    @property
    def interval_seconds(self) -> float:
        """Seconds between two looks."""
        chosen = self.interval or (_FILE_INTERVAL if self.file else _URL_INTERVAL)
        return chosen.total_seconds()

    @property
    def shown(self) -> str:
        """The place as people may see it: without what may be a secret."""
        if self.file:
            return self.file
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('?')[0].partition('#')[0].rpartition('@')[2]}"[:200]


def _is_address(url: str) -> bool:
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
