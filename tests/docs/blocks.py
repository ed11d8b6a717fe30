"""Fenced blocks of README.md and docs/, and what their info strings ask for.

The first word of an info string is the language; others are options, ``name`` or ``name=value``:

- ``python``: is executed. ``module=NAME`` makes it importable by the later blocks of its page.
- ``yaml``: a configuration, is loaded. ``file=NAME`` puts it where the page's console blocks run; ``broken``
  must be refused, ``endpoints`` is an endpoints file, ``kubernetes`` holds objects for a cluster.
- ``toml``: is parsed. Its plugin entry points are on offer to the page's configurations.
- ``json``: is parsed. ``kv-links`` tells a simulated server how fast KV cache comes from others.
- ``console``: ``$`` lines are commands, what follows is their output, in which ``...`` stands for anything.
  ``status=N`` is the exit status; commands of a ``long-running`` block are only parsed.
- ``text``: a picture; nothing is checked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = "```"
LANGUAGES = frozenset({"python", "yaml", "toml", "json", "console", "text"})


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is that of its first fence."""

    page: str
    line: int
    language: str
    options: Mapping[str, str]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@cache
def pages() -> tuple[str, ...]:
    """Every page by its path from the root."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(str(path.relative_to(ROOT)) for path in found)


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """The page's blocks in order."""
    return tuple(_blocks(page, (ROOT / page).read_text()))


def prose_of(page: str) -> str:
    """The page without its blocks."""
    lines: list[str] = []
    fenced = False
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith(FENCE):
            fenced = not fenced
        elif not fenced:
            lines.append(line)
    return "\n".join(lines)


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, of these languages if any are named."""
    return [block for page in pages() for block in blocks_of(page) if not languages or block.language in languages]


def _blocks(page: str, text: str) -> Iterator[Block]:
    start, info, body = 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(FENCE):
            body.append(line)
        elif start:
            language, *words = info.split()
            options = {name: value for name, _, value in (word.partition("=") for word in words)}
            yield Block(page, start, language, options, "".join(f"{content}\n" for content in body))
            start = 0
        else:
            start, info, body = number, line.removeprefix(FENCE), []
    assert not start, f"{page}:{start}: the block has no end"
