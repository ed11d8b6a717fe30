from plugins.generated import decided
from turnout.framework.testing import make_endpoint, make_request, make_state
from turnout.plugins.disagg.routing_headers import DisaggHeadersHandler, routing_headers

DECODE, PREFILL, ENCODE = (make_endpoint(name) for name in ("d", "p", "e"))


def test_the_engine_that_decodes_is_told_the_others() -> None:
    both = decided(DECODE, ("prefill", PREFILL), ("encode", ENCODE))
    headers = {"x-prefiller-host-port": PREFILL.host_port, "x-encoder-hosts-ports": ENCODE.host_port}
    assert DisaggHeadersHandler().pre_request(make_request(), make_state(), both) == headers
    assert routing_headers(decided(DECODE), "prefill", "encode") == {}
    assert routing_headers(decided(DECODE, ("p", PREFILL)), "p", "encode") == {
        "x-prefiller-host-port": PREFILL.host_port
    }
