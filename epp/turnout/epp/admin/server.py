"""Serves the operators' pages."""

from aiohttp import web

SHUTDOWN_SECONDS = 1.0


class RunningAdmin:
    """The pages on their port, until ``close``."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def close(self) -> None:
        """Stops listening and ends what is under way after at most a second."""
        await self._runner.cleanup()


async def start_admin(app: web.Application, host: str, port: int) -> RunningAdmin:
    """Listens; port 0 takes a free one, which the result names.

    Raises:
        OSError: the address cannot be bound.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    bound: tuple[str, int] = runner.addresses[0]
    return RunningAdmin(runner, bound[1])
