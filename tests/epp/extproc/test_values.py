from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2

from turnout.epp.extproc.values import BodyMode


def test_the_body_modes_are_envoys_by_name_and_number() -> None:
    envoys = dict(processing_mode_pb2.ProcessingMode.BodySendMode.items())
    assert {mode.name: mode.value for mode in BodyMode} == envoys
