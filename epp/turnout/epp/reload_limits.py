"""What a reload cannot change in a process that runs, and in the proxy before it."""

from collections.abc import Iterator

from turnout.config import Pipeline


def at_the_next_start(before: Pipeline, after: Pipeline) -> Iterator[str]:
    """What of the new pipeline takes effect only at the next start, a sentence for each."""
    if _discovery_origin(after) != _discovery_origin(before):
        yield "dataLayer.discovery changed; that takes effect at the next start"
    if _response_needs(after) != _response_needs(before):
        yield "plugins that read responses came or went; what the proxy sends changes at the next start"
    if _evicts(after) and not _evicts(before):
        yield "eviction was switched on; it works where the proxy keeps streams open, at the next start"
    if after.defers and not before.defers:
        yield "requests may be deferred now; the proxy waits for them for so long from the next start on"


def _response_needs(pipeline: Pipeline) -> tuple[bool, bool, bool]:
    return pipeline.reads_response_headers, pipeline.reads_first_piece, pipeline.reads_response_body


def _evicts(pipeline: Pipeline) -> bool:
    return pipeline.flow_control is not None and pipeline.flow_control.enable_eviction


def _discovery_origin(pipeline: Pipeline) -> object:
    return pipeline.origins[pipeline.discovery.name] if pipeline.discovery else None
