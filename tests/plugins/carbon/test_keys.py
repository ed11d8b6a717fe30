from turnout.framework.testing import make_endpoint
from turnout.plugins.carbon.keys import CARBON_INTENSITIES, CarbonIntensities


def test_an_endpoint_has_the_intensity_of_its_region() -> None:
    known = CarbonIntensities({"north": 25.0}, "zone")
    north, south, nowhere = (make_endpoint(labels=labels) for labels in ({"zone": "north"}, {"zone": "south"}, {}))
    assert [known.of(each) for each in (north, south, nowhere)] == [25.0, None, None]
    assert [known.region(each) for each in (north, south, nowhere)] == ["north", "south", ""]


def test_no_name_means_the_usual_producer() -> None:
    assert CARBON_INTENSITIES.of("") is CARBON_INTENSITIES.of("carbon-intensity-producer")
