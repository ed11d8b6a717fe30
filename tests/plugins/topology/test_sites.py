import pytest

from epp.topology.gpus import gpu, machine
from plugins.topology.islands import GB, described, islands, site, sliced
from turnout.plugins.topology.hardware_labels import HardwareLabels
from turnout.plugins.topology.keys import Hardware, Place, Reach, Route
from turnout.plugins.topology.machine import Machine
from turnout.plugins.topology.network import DEFAULT_NETWORK
from turnout.plugins.topology.sites import site_of

GIB = 2**30
HERE = Place("worker-7")
A100 = "NVIDIA A100 80GB PCIe"


def test_without_a_document_the_labels_count() -> None:
    labels = {"gpu-type": "h100", "turnout/gpus": "0-1", "gpu-memory": "80Gi"}
    assert site(None, labels).hardware == Hardware(HERE, "h100", 2, 80 * GIB, (0, 1))


def test_nothing_is_known_without_labels_and_documents() -> None:
    assert site_of(Place(), HardwareLabels().read({"app": "vllm"}), None) == (None, ())


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        pytest.param("0", Hardware(HERE, A100, 1, 80 * GIB, (0,), None, None, True, 4), id="one GPU"),
        pytest.param("0-1", Hardware(HERE, A100, 2, 80 * GIB, (0, 1), 100.0 * GB, True, True, 4), id="an island"),
        pytest.param("0-3", Hardware(HERE, A100, 4, 80 * GIB, (0, 1, 2, 3), 32.0 * GB, False, False, 4), id="two"),
    ],
)
def test_a_document_says_what_the_gpus_of_an_endpoint_are(gpus: str, expected: Hardware) -> None:
    assert site(islands(), {"turnout/gpus": gpus}).hardware == expected


def test_which_gpus_an_endpoint_has_may_be_unknown() -> None:
    found = site(islands(), {})
    assert found.hardware == Hardware(HERE, A100, None, 80 * GIB, pcie_generation=4)
    assert not found.certain
    # Those of another endpoint may be as many.
    counted = site(islands(), {"gpu-count": "4"})
    assert (counted.certain, counted.hardware.gpus, counted.hardware.gpu_count) == (False, (), 4)


def test_a_document_tells_the_host_where_no_label_does() -> None:
    assert site(islands("n1"), {}, Place(zone="z")).hardware.place == Place("n1", zone="z")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param("0", "1", Route(Reach.NVLINK, 100.0 * GB, 5e-6, True, True), id="in one island"),
        pytest.param("0", "2", Route(Reach.NODE, 32.0 * GB, 2e-5, False, True), id="in two islands"),
        pytest.param("0-2", "3", Route(Reach.NVLINK, 100.0 * GB, 5e-6, True, True), id="the best of several"),
    ],
)
def test_the_best_way_between_any_two_gpus_counts(one: str, other: str, expected: Route) -> None:
    a, b = site(islands(), {"turnout/gpus": one}), site(islands(), {"turnout/gpus": other})
    assert a.on_one_host(b, DEFAULT_NETWORK) == b.on_one_host(a, DEFAULT_NETWORK) == expected


def test_where_the_gpus_are_unknown_the_worst_way_counts() -> None:
    a, b = site(islands(), {"turnout/gpus": "0"}), site(islands(), {})
    worst = Route(Reach.NODE, 32.0 * GB, 2e-5, same_socket=False, measured=True)
    assert a.on_one_host(b, DEFAULT_NETWORK) == b.on_one_host(a, DEFAULT_NETWORK) == worst
    assert b.on_one_host(b, DEFAULT_NETWORK) == worst


def test_of_ways_that_are_equally_fast_one_on_a_socket_is_better() -> None:
    unlinked = islands(linked=False)
    a, b = site(unlinked, {"turnout/gpus": "0_2"}), site(unlinked, {"turnout/gpus": "3"})
    expected = Route(Reach.SOCKET, 32.0 * GB, 1e-5, same_socket=True, measured=True)
    assert a.on_one_host(b, DEFAULT_NETWORK) == b.on_one_host(a, DEFAULT_NETWORK) == expected


@pytest.mark.parametrize(
    ("read", "profiles", "memory"),
    [
        pytest.param(sliced(islands(), "3g.40gb", "3g.40gb"), ("3g.40gb",), None, id="other slices"),
        pytest.param(islands(mig_enabled=False), (), 80 * GIB, id="not sliced any more"),
        pytest.param(islands(), ("1g.10gb",), None, id="nothing is known of slices"),
        pytest.param(sliced(islands(), "1c.1g.10gb", "2g.20gb"), ("1g.10gb",), None, id="a part of the stated one"),
    ],
)
def test_the_slices_are_those_of_the_document(read: Machine, profiles: tuple[str, ...], memory: int | None) -> None:
    found = site(read, {"turnout/gpus": "0", "mig-config": "1g.10gb:7"}).hardware
    assert (found.mig_profiles, found.gpu_memory) == (profiles, memory)


@pytest.mark.parametrize(
    ("topology", "reach"),
    [pytest.param("nvlink", Reach.NVLINK, id="linked"), pytest.param("pcie", Reach.NODE, id="not linked")],
)
def test_without_a_document_labels_say_whether_there_is_nvlink(topology: str, reach: Reach) -> None:
    a, b = site(None, {"gpu-topology": topology}), site(None, {"gpu-topology": topology})
    assert a.on_one_host(b, DEFAULT_NETWORK).reach is reach
    slices = site(None, {"gpu-topology": topology, "mig-config": "1g.5gb:7"})
    assert a.on_one_host(slices, DEFAULT_NETWORK).reach is Reach.NODE


@pytest.mark.parametrize(
    ("read", "labels", "problem"),
    [
        pytest.param(islands(), {"turnout/gpus": "3-5"}, "has GPU 4, 5, and worker-7 has 4 GPUs", id="no such GPU"),
        pytest.param(islands(), {"gpu-count": "8"}, "has 8 GPUs, and worker-7 has 4", id="more than there are"),
        pytest.param(islands(), {"gpu-count": "2", "turnout/gpus": "0"}, "has 2 GPUs, and name 1", id="two counts"),
        pytest.param(islands(), {"nvidia.com/gpu.count": "8"}, "worker-7 has 8 GPUs, and it has 4", id="another host"),
        pytest.param(
            islands(), {"gpu-type": "H100"}, "are H100, and worker-7 has nvidia-a100-80gb-pcie", id="another kind"
        ),
        pytest.param(islands(), {"mig-config": "1g.10gb:7"}, "slice 1g.10gb, of which worker-7 has none", id="whole"),
        pytest.param(
            sliced(islands(), "7g.80gb"),
            {"turnout/gpus": "0", "mig-config": "1g.10gb:7"},
            "on a slice 1g.10gb, of which worker-7 has none",
            id="sliced anew while serving",
        ),
    ],
)
def test_labels_that_a_document_contradicts_are_told(read: Machine, labels: dict[str, str], problem: str) -> None:
    found, problems = site_of(HERE, HardwareLabels().read(labels), described(read))
    assert found is not None
    assert [one for one in problems if problem in one] == list(problems)
    assert len(problems) == 1


def test_the_part_of_a_name_is_no_contradiction() -> None:
    _, problems = site_of(HERE, HardwareLabels().read({"gpu-type": "a100"}), described(islands()))
    assert list(problems) == []


def test_slices_are_what_an_endpoint_runs_on() -> None:
    found = site(sliced(islands(), "1g.10gb", "2g.20gb"), {"turnout/gpus": "0"})
    assert found.hardware.mig_profiles == ("1g.10gb", "2g.20gb")
    assert found.hardware.group_bytes_per_second is None


def test_gpus_that_differ_have_no_common_type() -> None:
    found = site(machine(gpu(0), gpu(1, name="NVIDIA L4", mib=23034)), {"turnout/gpus": "0-1"})
    assert (found.hardware.gpu_type, found.hardware.gpu_memory) == ("", 23034 * 2**20)
