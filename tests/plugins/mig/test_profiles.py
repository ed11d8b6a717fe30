import pytest

from turnout.plugins.mig.profiles import GPUS, PROFILES, MigProfile, profile_named


@pytest.mark.parametrize(
    ("gpu", "names"),
    [
        ("A100-40GB", ["1g.5gb+me", "1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"]),
        ("A100-80GB", ["1g.10gb+me", "1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]),
        ("H200-141GB", ["1g.18gb+me", "1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"]),
        ("B200-180GB", ["1g.23gb+me", "1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb"]),
    ],
)
def test_each_gpu_has_its_profiles(gpu: str, names: list[str]) -> None:
    assert [profile.name for profile in GPUS[gpu]] == names


@pytest.mark.parametrize("profiles", GPUS.values(), ids=GPUS)
def test_the_instances_of_a_profile_fit_into_its_gpu(profiles: tuple[MigProfile, ...]) -> None:
    assert [profile.instances for profile in profiles] == [1, 7, 4, 3, 2, 1, 1]
    assert all(profile.instances * profile.compute_slices <= 7 for profile in profiles)
    assert all(profile.instances * profile.memory_slices <= 8 for profile in profiles)


def test_a_profile_that_no_gpu_has_is_refused_with_those_that_exist() -> None:
    assert profile_named("3g.40gb") == MigProfile("3g.40gb", 3, 4, 40, 2)
    with pytest.raises(ValueError, match=r"unknown MIG profile '5g.30gb'; known: 1g.10gb, 1g.10gb\+me"):
        profile_named("5g.30gb")
    assert len(PROFILES) == len(set(PROFILES.values())) == 37
