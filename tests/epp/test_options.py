from pathlib import Path

import pytest

from turnout.epp.options import EppOptions


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        pytest.param({"grpc_port": -1}, "grpc_port must be from 0 to 65535, not -1", id="port"),
        pytest.param({"max_request_body_bytes": 0}, "max_request_body_bytes must be at least 1, not 0", id="cap"),
        pytest.param({"config_file": Path("a"), "config_text": "b"}, "exclude each other", id="two configurations"),
        pytest.param({"explain_sample_rate": 2.0}, "explain_sample_rate must be within [0, 1], not 2.0", id="rate"),
        pytest.param({"drain_timeout": -1.0}, "drain_timeout must be at least 0", id="drain"),
        pytest.param({"enable_cert_reload": True}, "enable_cert_reload needs cert_path", id="reload of nothing"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is compared below
        EppOptions(**values)  # type: ignore[arg-type]  # fields by name
    assert complaint in str(raised.value)


def test_the_defaults_are_the_fields_ports_and_secure() -> None:
    options = EppOptions()
    assert (options.grpc_port, options.grpc_health_port, options.metrics_port) == (9002, 9003, 9090)
    assert options.secure_serving
    assert options.max_request_body_bytes == 33_554_432
