import pytest

from turnout.epp.simulator.options import SimServerOptions


def test_cache_events_are_recorded_only_when_they_are_published() -> None:
    assert not SimServerOptions().engine_config().record_events
    assert SimServerOptions(kv_events_port=0).engine_config().record_events


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"time_scale": 0.0}, "time_scale must be a finite number above 0", id="time standing still"),
        pytest.param({"port": 70_000}, "port must be between 0 and 65535, got 70000", id="port out of range"),
        pytest.param({"kv_replay_port": 0}, "kv_replay_port needs kv_events_port", id="replay without events"),
        pytest.param({"lora_names": ("a", "a")}, "must be non-empty and distinct", id="an adapter twice"),
        pytest.param({"kv_bytes_per_token": 0}, "kv_bytes_per_token must be at least 1, got 0", id="tokens of no size"),
        pytest.param({"num_blocks": 0}, "num_blocks must be at least 1", id="an engine size of zero"),
    ],
)
def test_wrong_options_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimServerOptions(**{**vars(SimServerOptions()), **change})
