from turnout.epp.requests.passthrough import PassthroughParser
from turnout.framework import ParsedBody


def test_any_body_passes_unread() -> None:
    parser = PassthroughParser()
    assert parser.parse("/anything", b"\x00\xff") == ParsedBody()
    assert parser.rewrite_model(b"\x00\xff", "m") == b"\x00\xff"
    assert parser.usage(b'{"usage": {}}') is None
