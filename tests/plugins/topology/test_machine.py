import msgspec

from turnout.plugins.topology import machine
from turnout.plugins.topology.machine import SCHEMA, Gpu, Machine


def test_the_document_says_its_version_first() -> None:
    smallest = Machine(node="n", read_at="2026-01-01T00:00:00+00:00", gpus=())
    assert msgspec.json.encode(smallest).startswith(b'{"schema":"turnout.topology/v1","node":"n",')


def test_what_is_unknown_is_null_and_not_nothing() -> None:
    unknown = msgspec.to_builtins(Gpu(index=0))
    assert (unknown["utilization"], unknown["power"]["watts"], unknown["memory"]) == (None, None, None)
    assert unknown["throttled"] is None


def test_every_type_of_the_document_has_a_schema() -> None:
    (schemas, parts) = msgspec.json.schema_components([Machine])
    assert schemas == ({"$ref": "#/$defs/Machine"},)
    structs = [one for one in vars(machine).values() if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    assert {one.__name__ for one in structs if one is not msgspec.Struct} == set(parts)
    assert SCHEMA in str(parts["Machine"])
