import pytest

from turnout.framework import Finding
from turnout.plugins.prefix_cache.verdicts import DEFAULT_ADVICE, Evidence, restarted, verdict


def evidence(predicted: int, actual: int, *, slices: int = 3, tolerated: int = 0) -> Evidence:
    return Evidence("usage", 20, 1000, predicted, actual, tolerated, slices)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        pytest.param(evidence(0, 0), None, id="nothing cached and nothing expected"),
        pytest.param(evidence(500, 500), None, id="as expected"),
        pytest.param(evidence(500, 401), None, id="a difference below a tenth of the prompts"),
        pytest.param(evidence(0, 100), "silent-zero-predicted", id="the engine finds what nobody expected"),
        pytest.param(evidence(0, 100, tolerated=100), None, id="what is found is shorter than our blocks"),
        pytest.param(evidence(100, 0), "silent-zero-reported", id="the engine finds nothing of what was expected"),
        pytest.param(evidence(100, 0, slices=1), "silent-zero-reported", id="a zero needs no time to be one"),
        pytest.param(evidence(500, 400), "over-prediction", id="less than expected"),
        pytest.param(evidence(500, 400, slices=2), None, id="less than expected, for a short time"),
        pytest.param(evidence(500, 400, tolerated=100), None, id="less than expected, within the blocks"),
        pytest.param(evidence(400, 500), "under-prediction", id="more than expected"),
        pytest.param(Evidence("usage", 20, 0, 0, 0, 0, 3), None, id="no tokens at all"),
    ],
)
def test_a_disagreement_has_a_cause(seen: Evidence, cause: str | None) -> None:
    found = verdict("default/a", seen, DEFAULT_ADVICE)
    assert (found.cause if found else None) == cause


@pytest.mark.parametrize(
    ("source", "end"),
    [
        pytest.param("usage", "0% reported by the engine.", id="usage"),
        pytest.param("totals", "0% found by the engine's own totals.", id="totals"),
        pytest.param("no lookups", "the engine's totals say that it looked nothing up.", id="no lookups"),
    ],
)
def test_a_finding_says_what_was_seen_and_by_whom(source: str, end: str) -> None:
    seen = Evidence(source, 20, 1000, 250, 0, 0, 3)  # type: ignore[arg-type]
    found = verdict("default/a", seen, {"silent-zero-reported": "Do that."})
    assert found is not None
    assert found.endpoint == "default/a"
    assert found.message.startswith("20 requests in the last minutes: 25% of the prompt tokens expected in the cache, ")
    assert found.message.endswith(f"{end} Do that.")


def test_causes_that_are_known_replace_the_advice() -> None:
    found = verdict("default/a", evidence(100, 0), DEFAULT_ADVICE, ["no-events", "other-block-size"])
    assert found is not None
    assert found.message.endswith("Known causes: no-events, other-block-size; see there.")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        pytest.param(1, "The engine restarted: its counters fell. Look.", id="once"),
        pytest.param(3, "The engine restarted: its counters fell, 3 times by now. Look.", id="again and again"),
    ],
)
def test_a_restart_is_a_finding(times: int, message: str) -> None:
    assert restarted("a", times, {"engine-restarted": "Look."}) == Finding("engine-restarted", message, "a")
