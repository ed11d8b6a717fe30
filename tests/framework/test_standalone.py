"""The framework is usable alone: only the standard library beside it, in a script of 20 lines, without Envoy."""

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "framework"

ONLY_STANDARD_LIBRARY = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        ours = name == "turnout" or name.startswith("turnout.framework")
        if not ours and name.partition(".")[0] not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not of the standard library")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
"""

SCRIPT = """
from turnout.framework import Named, Scheduler, SchedulerProfile, SchedulingResult, WeightedScorer
from turnout.framework.testing import make_endpoint, make_request, make_state

class Shortest:
    def score(self, request, state, endpoints):
        longest = max(endpoint.metrics.waiting_queue_size for endpoint in endpoints) or 1
        return [1 - endpoint.metrics.waiting_queue_size / longest for endpoint in endpoints]

class Best:
    def pick(self, request, state, scored):
        return [max(scored, key=lambda candidate: candidate.score).endpoint]

class Only:
    def pick(self, request, state, profiles, results):
        return [] if results else list(profiles)
    def process_results(self, request, state, results):
        return SchedulingResult("default", results)

scheduler = Scheduler([SchedulerProfile("default", Named(Best()), (), (WeightedScorer(Named(Shortest())),))], Only())
pool = [make_endpoint("busy", waiting=4), make_endpoint("idle")]
print(scheduler.schedule(make_request(), make_state(), pool, now=0.0).endpoint.name)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", ONLY_STANDARD_LIBRARY + script, str(SOURCE)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_module_imports_with_nothing_but_the_standard_library() -> None:
    names = sorted(path.stem for path in (SOURCE / "turnout" / "framework").glob("*.py") if path.stem != "__init__")
    assert len(names) >= 13
    imports = "\n".join(f"import turnout.framework.{name}" for name in names)
    done = run(f"import turnout.framework\n{imports}\nprint('imported')")
    assert (done.stderr, done.stdout) == ("", "imported\n")


def test_the_refusal_of_other_modules_works() -> None:
    done = run("import pytest")
    assert "pytest is not of the standard library" in done.stderr


def test_a_script_of_20_lines_schedules_without_envoy() -> None:
    lines = [line for line in SCRIPT.splitlines() if line.strip()]
    assert len(lines) <= 20
    done = run(SCRIPT)
    assert (done.stderr, done.stdout) == ("", "default/idle\n")


def test_the_framework_says_that_it_is_typed() -> None:
    assert (SOURCE / "turnout" / "framework" / "py.typed").exists()
