import pytest

from config.flow_fakes import OWN_GATE_OPEN, problems, settings
from turnout.config import LaneSettings
from turnout.config.lanes import MOST_LANES

SCORER = "plugins: [{type: queue-scorer}]\n"
LANE = "{name: %s, match: {models: [m]}, endpoints: {matchLabels: {gpu: h100}}}"


def section(*lanes: str) -> str:
    listed = "".join(f"  - {lane}\n" for lane in lanes)
    return f"{SCORER}flowControl:\n  headOfLine: perLane\n  lanes:\n{listed}"


def test_a_lane_says_which_requests_and_which_endpoints() -> None:
    body = section(
        "{name: chat, match: {models: [m, n, m], paths: [/v1/chat/completions/, messages], headers: {X-Tier: 'Gold '}},"
        " endpoints: {matchLabels: {gpu: h100, spot: ''}}}",
        LANE % "rest",
    )
    chat, rest = settings(body, head=OWN_GATE_OPEN).lanes
    assert chat == LaneSettings(
        name="chat",
        models=frozenset({"m", "n"}),
        paths=("v1/chat/completions", "messages"),
        headers={"x-tier": "Gold "},
        endpoints={"gpu": "h100", "spot": ""},
    )
    assert (rest.name, rest.paths, dict(rest.headers)) == ("rest", (), {})


def test_without_lanes_there_are_none() -> None:
    assert settings(SCORER, head=OWN_GATE_OPEN).lanes == ()


def test_as_many_lanes_as_are_allowed_are() -> None:
    assert len(settings(section(*(LANE % f"l{n}" for n in range(MOST_LANES))), head=OWN_GATE_OPEN).lanes) == 32


@pytest.mark.parametrize(
    ("lanes", "found"),
    [
        pytest.param(
            [LANE % f"l{n}" for n in range(33)],
            ["7: flowControl.lanes: there are 33 lanes; at most 32"],
            id="too many lanes",
        ),
        pytest.param(
            [LANE % "a", LANE % "b", LANE % "a"],
            [
                "10: flowControl.lanes[2].name: duplicate lane name 'a', first in lanes[0]; each name is used once",
            ],
            id="two lanes of one name",
        ),
        pytest.param(
            ["{name: a}"],
            [
                "8: flowControl.lanes[0].match: matches every request; accepted: models, paths or headers",
                (
                    "8: flowControl.lanes[0].endpoints: selects every endpoint; "
                    "accepted: matchLabels with at least one label"
                ),
            ],
            id="neither a match nor endpoints",
        ),
        pytest.param(
            ["{match: {models: [m]}, endpoints: {matchLabels: {a: b}}}"],
            ["8: flowControl.lanes[0]: the required field 'name' is missing; accepted: endpoints, match, name"],
            id="no name",
        ),
        pytest.param(
            ["{name: a, match: {paths: [//]}, endpoints: {matchLabels: {a: b}}}"],
            [
                (
                    "8: flowControl.lanes[0].match.paths[0]: '//' has no segment; "
                    "accepted: a path ending such as completions"
                )
            ],
            id="a path without a segment",
        ),
        pytest.param(
            ["{name: a, match: {headers: {X-A: b, x-a: c, 'x y': d}}, endpoints: {matchLabels: {a: b}}}"],
            [
                "8: flowControl.lanes[0].match.headers.x-a: the header 'x-a' is given twice; names have no case",
                "8: flowControl.lanes[0].match.headers.x y: 'x y' is no name of a header",
            ],
            id="headers that cannot be",
        ),
        pytest.param(
            ["{name: a, match: {models: [''], headers: {x-a: 1}, path: x}, endpoints: {matchLabels: {a: 2}}}"],
            [
                "8: flowControl.lanes[0].match.models[0]: is empty; accepted: text of at least one character",
                (
                    "8: flowControl.lanes[0].match.path: unknown field; did you mean 'paths'? "
                    "accepted: headers, models, paths"
                ),
                "8: flowControl.lanes[0].match.headers.x-a: is 1; accepted: text",
                "8: flowControl.lanes[0].endpoints.matchLabels.a: is 2; accepted: text",
            ],
            id="values of other types",
        ),
    ],
)
def test_a_lane_that_cannot_be_is_a_problem(lanes: list[str], found: list[str]) -> None:
    assert problems(section(*lanes), head=OWN_GATE_OPEN) == found


def test_lanes_are_checked_with_the_gate_closed_too() -> None:
    head = OWN_GATE_OPEN.replace("flowControl]", "flowControl=false]")
    assert problems(section(LANE % "a", LANE % "a"), head=head) == [
        "9: flowControl.lanes[1].name: duplicate lane name 'a', first in lanes[0]; each name is used once"
    ]
