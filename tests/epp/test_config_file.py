import asyncio
from pathlib import Path

from turnout.epp.config_file import content_changes


async def next_change(file: Path, change: list[str]) -> None:
    """Waits for the next change while making changes: a watcher that is just starting may miss the first."""
    changes = content_changes(file)
    waiting = asyncio.ensure_future(anext(changes))
    for number in range(200):
        for text in change:
            draft = file.with_suffix(".new")
            draft.write_text(f"{text}{number}")
            draft.replace(file)
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        if done:
            break
    await waiting
    await changes.aclose()  # type: ignore[attr-defined]  # it is an async generator


async def test_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text("one")
    async with asyncio.timeout(30):
        await next_change(file, ["two"])
    assert file.read_text().startswith("two")


async def test_the_same_content_and_other_files_are_no_change(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text("one")
    changes = content_changes(file)
    waiting = asyncio.ensure_future(anext(changes))
    for number in range(5):
        (tmp_path / "other").write_text(str(number))
        file.write_text("one")
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    waiting.cancel()
    await asyncio.wait([waiting])
