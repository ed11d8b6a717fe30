from turnout.framework import DataProducer, EndpointWatcher, PluginName
from turnout.framework.registry import serves
from turnout.framework.testing import check_producer, check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.topology.extractor import TopologyExtractor
from turnout.plugins.topology.places import PLACE_LABELS, PlaceLabels


def test_the_labels_that_it_names_are_published_under_its_name() -> None:
    mine = TopologyExtractor("node", rack="row", name=PluginName("mine"))
    state = check_producer(mine, make_request(), make_state(), [make_endpoint()])
    assert state.read(PLACE_LABELS.of("mine")) == PlaceLabels(
        "node", "row", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
    )
    assert state.get(PLACE_LABELS.of("")) is None


def test_its_labels_are_those_of_kubernetes_by_default() -> None:
    state = check_producer(TopologyExtractor(), make_request(), make_state(), [make_endpoint()])
    assert state.read(PLACE_LABELS.of("")) == PlaceLabels()


def test_it_can_be_listed_as_one_that_hears_of_endpoints() -> None:
    extractor = TopologyExtractor()
    check_signatures(extractor)
    assert serves(extractor, EndpointWatcher)
    assert serves(extractor, DataProducer)
    extractor.endpoints_changed([make_endpoint()])
