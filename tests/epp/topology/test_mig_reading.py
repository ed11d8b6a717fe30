from collections.abc import Callable

from turnout.plugins.topology.document import parse
from turnout.plugins.topology.machine import Memory, MigInstance

MIB = 1024 * 1024


def test_instances_have_profile_ids_slices_and_memory(printed_by: Callable[..., str]) -> None:
    sliced, whole = parse(printed_by("an A100 in slices", "--json").encode()).gpus
    assert (sliced.mig_enabled, whole.mig_enabled) == (True, False)
    assert sliced.mig_instances[1] == MigInstance(
        index=1,
        uuid="MIG-00000000-0000-0000-0000-000000000002",
        profile="1c.2g.10gb",
        gpu_instance=5,
        compute_instance=0,
        slices=2,
        memory=Memory(total=9984 * MIB, used=13 * MIB, free=9971 * MIB),
    )
    assert [one.profile for one in sliced.mig_instances] == ["3g.20gb", "1c.2g.10gb", "1g.5gb", "1g.5gb+me"]
    assert whole.mig_instances == ()


def test_an_instance_that_goes_away_meanwhile_is_left_out_and_named(printed_by: Callable[..., str]) -> None:
    machine = parse(printed_by("an A100 in slices", "--json").encode())
    assert [(gap.gpu, gap.what, gap.why) for gap in machine.gaps] == [
        (0, "MIG instance 4", "it went away while it was read")
    ]


def test_a_board_that_cannot_do_mig_says_neither_on_nor_off(printed_by: Callable[..., str]) -> None:
    machine = parse(printed_by("four L4 without NVLink", "--json").encode())
    assert {one.mig_enabled for one in machine.gpus} == {None}
