import pytest

from turnout.config import Pipeline, load_pipeline
from turnout.epp.reload_limits import at_the_next_start

HEAD = "apiVersion: turnout/v1\nkind: EndpointPickerConfig\n"
PLAIN = "plugins: [{type: queue-scorer}]\n"
OPEN = "featureGates: [flowControl]\n"
HOURS = "{type: clean-hours-policy, parameters: {hours: [{from: '22:00', to: '06:00'}]}}"
LATER = OPEN + f"plugins: [{{type: queue-scorer}}, {HOURS}]\n"
FILE = (
    "plugins: [{type: queue-scorer}, {type: file-discovery, parameters: {path: /a}}]\n"
    "dataLayer: {discovery: {pluginRef: file-discovery}}\n"
)


def loaded(body: str) -> Pipeline:
    return load_pipeline(HEAD + body)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(PLAIN, PLAIN, [], id="nothing"),
        pytest.param(PLAIN, FILE, ["dataLayer.discovery changed"], id="another discovery"),
        pytest.param(PLAIN, LATER, ["requests may be deferred now"], id="deferred requests"),
        pytest.param(LATER, PLAIN, [], id="no deferred requests any more"),
        pytest.param(
            PLAIN, OPEN + PLAIN + "flowControl: {enableEviction: true}\n", ["eviction was switched on"], id="eviction"
        ),
    ],
)
def test_what_waits_for_the_next_start_is_told(before: str, after: str, told: list[str]) -> None:
    assert [line.partition(";")[0] for line in at_the_next_start(loaded(before), loaded(after))] == told
