import asyncio

import pytest

from turnout.epp.simulator.replay.virtual_time import START_SECONDS, StalledError, run_virtually


def test_hours_pass_at_once_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time() - START_SECONDS))

    async def main() -> None:
        await asyncio.gather(sleeper("late", 7200.0), sleeper("early", 0.25), sleeper("middle", 60.0))

    run_virtually(main())
    assert [name for name, _ in seen] == ["early", "middle", "late"]
    assert [at for _, at in seen] == pytest.approx([0.25, 60.0, 7200.0])


def test_the_clock_stands_still_while_code_runs() -> None:
    async def main() -> float:
        clock = asyncio.get_running_loop().time
        before = clock()
        for _ in range(100):
            await asyncio.sleep(0)
        return clock() - before

    assert run_virtually(main()) == 0.0


def test_time_limits_are_virtual() -> None:
    async def main() -> float:
        clock = asyncio.get_running_loop().time
        before = clock()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600.0):
                await asyncio.sleep(7200.0)
        return clock() - before

    assert run_virtually(main()) == pytest.approx(3600.0)


def test_waiting_for_what_never_comes_is_an_error_and_no_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StalledError, match="nothing is left that could happen"):
        run_virtually(main())
