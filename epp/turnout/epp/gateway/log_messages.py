"""Access log messages whose text is read as bytes.

Envoy copies what clients send, ``x-request-id`` for one, into ``string`` fields without a look at its encoding.
protobuf refuses a whole message for one such field that is not UTF-8: one client could make every entry of the
message, and with it the stream, unreadable. So the messages are declared once more, in a pool of their own, with
``bytes`` in place of ``string``; on the wire both are the same.
"""

from collections.abc import Iterator
from typing import Final

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message

_NAME: Final = "envoy.service.accesslog.v3.StreamAccessLogsMessage"


def _message_class() -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    for file in _with_dependencies(als_pb2.DESCRIPTOR, set()):
        declared = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(declared)
        if file.name == accesslog_pb2.DESCRIPTOR.name:
            for message in declared.message_type:
                _read_text_as_bytes(message)
        pool.Add(declared)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(_NAME))


def _with_dependencies(file: FileDescriptor, seen: set[str]) -> Iterator[FileDescriptor]:
    if file.name in seen:
        return
    seen.add(file.name)
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency, seen)
    yield file


def _read_text_as_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    if message.options.map_entry:
        return  # the key of a map has to stay text
    for field in message.field:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES
    for nested in message.nested_type:
        _read_text_as_bytes(nested)


LogMessage: Final = _message_class()
"""``StreamAccessLogsMessage``, with text fields of its entries as bytes."""
