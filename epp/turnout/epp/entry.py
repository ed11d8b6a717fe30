"""The console script. It imports nothing heavy before it knows that the extra is installed."""

import importlib.util
import sys

# One module of each distribution that the extra `epp` brings and that start-up needs.
_NEEDED = ("typer", "rich", "grpc", "aiohttp", "prometheus_client", "zmq", "uvloop", "watchfiles", "cryptography")


def main() -> None:
    """Runs `turnout`; exits with status 2 and a remedy when the extra is missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(f"turnout: {', '.join(missing)} not installed. Run: pip install 'turnout[epp]'\n")
        raise SystemExit(2)
    from turnout.epp.cli.app import run  # noqa: PLC0415 - after the check above

    run(sys.argv[1:])
