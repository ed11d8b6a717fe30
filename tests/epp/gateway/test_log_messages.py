import pytest
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf.message import DecodeError

from turnout.epp.gateway.log_messages import LogMessage


def test_text_that_is_not_utf8_does_not_cost_the_message() -> None:
    message = als_pb2.StreamAccessLogsMessage()
    entry = message.http_logs.log_entry.add()
    entry.request.request_id = "XX"
    entry.common_properties.stream_id = "YY"
    entry.response.response_code.value = 200
    wire = message.SerializeToString().replace(b"XX", b"\xff\xfe").replace(b"YY", b"\xc3\x28")
    with pytest.raises(DecodeError):
        als_pb2.StreamAccessLogsMessage.FromString(wire)
    (read,) = LogMessage.FromString(wire).http_logs.log_entry  # type: ignore[attr-defined]  # declared at run time
    assert (read.request.request_id, read.common_properties.stream_id) == (b"\xff\xfe", b"\xc3\x28")
    assert read.response.response_code.value == 200
