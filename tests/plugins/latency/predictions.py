"""States in which something is predicted, and generated predictions."""

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import make_endpoint, make_state
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets

seconds = st.one_of(st.just(0.0), st.floats(1e-6, 1e6))
predictions = st.builds(
    LatencyPrediction,
    ttft_seconds=seconds,
    tpot_seconds=seconds,
    ttft_spread=st.floats(0.0, 5.0),
    tpot_spread=st.floats(0.0, 5.0),
    busy_seconds=seconds,
    confidence=st.floats(0.0, 1.0),
)
targets = st.builds(
    SloTargets,
    ttft_seconds=st.none() | st.floats(-1e3, 1e308),
    tpot_seconds=st.none() | st.floats(1e-9, 1e308),
)


@st.composite
def states(draw: st.DrawFn, endpoints: Sequence[Endpoint]) -> CycleState:
    """Predictions for some of the endpoints, and targets or none."""
    found = {each.name: draw(predictions) for each in endpoints if draw(st.booleans())}
    return predicted(found, draw(targets))


def predicted(found: Mapping[str, LatencyPrediction], wanted: SloTargets | None = None) -> CycleState:
    """A state with these predictions and targets."""
    state = make_state()
    state.write(LATENCY_PREDICTIONS.of(""), found)
    state.write(SLO_TARGETS.of(""), wanted or SloTargets())
    return state


def pool(
    *times: tuple[float, float] | None, in_flight: Sequence[int] = ()
) -> tuple[list[Endpoint], dict[str, LatencyPrediction]]:
    """Endpoints with these predicted TTFTs and TPOTs; None is no prediction. Each runs one request unless stated."""
    counts = in_flight or [1] * len(times)
    endpoints = [make_endpoint(f"e{number}", in_flight=count) for number, count in enumerate(counts)]
    found = {
        endpoint.name: LatencyPrediction(*both, 0.2, 0.2)
        for endpoint, both in zip(endpoints, times, strict=True)
        if both is not None
    }
    return endpoints, found
