import pytest

from turnout.epp.simulator.faults import Fault, FaultInjector, parse_fault


def no_crash() -> None:
    raise AssertionError("crashed")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("hang", Fault(kind="hang"), id="only a kind"),
        pytest.param("slow:factor=2.5", Fault(kind="slow", factor=2.5), id="one setting"),
        pytest.param("error:share=0.25,scope=all", Fault(kind="error", share=0.25, scope="all"), id="two settings"),
    ],
)
def test_a_fault_is_read_from_a_command_line(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("fire", "Invalid enum value 'fire'", id="unknown kind"),
        pytest.param("slow:speed=2", "unknown field `speed`", id="unknown setting"),
        pytest.param("slow:factor=0", "factor must be a finite number above 0, got 0", id="factor of zero"),
        pytest.param("error:share=1.5", "share must be between 0 and 1, got 1.5", id="share above one"),
        pytest.param("reset:after_tokens=-1", "after_tokens must be at least 0, got -1", id="negative tokens"),
    ],
)
def test_a_wrong_fault_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(text)


def test_the_share_of_requests_struck_follows_the_seed() -> None:
    fault = Fault(kind="error", share=0.3)
    struck = [FaultInjector(fault, 7, no_crash).strike(is_generation=True) for _ in range(2)]
    assert struck[0] == struck[1]
    injector = FaultInjector(fault, 7, no_crash)
    kinds = [injector.strike(is_generation=True) for _ in range(1_000)]
    assert 250 < kinds.count("error") < 350


def test_only_a_fault_of_scope_all_strikes_other_requests_than_generation() -> None:
    assert FaultInjector(Fault(kind="hang"), 0, no_crash).strike(is_generation=False) == "none"
    assert FaultInjector(Fault(kind="hang", scope="all"), 0, no_crash).strike(is_generation=False) == "hang"


def test_a_slow_server_strikes_no_request_and_stretches_steps() -> None:
    injector = FaultInjector(Fault(kind="slow", factor=3.0), 0, no_crash)
    assert (injector.strike(is_generation=True), injector.slowdown) == ("none", 3.0)
    injector.activate(Fault())
    assert injector.slowdown == 1.0


def test_a_crash_set_at_the_start_waits_for_a_request() -> None:
    crashes: list[str] = []
    injector = FaultInjector(Fault(kind="crash"), 0, lambda: crashes.append("crash"))
    assert crashes == []
    injector.strike(is_generation=True)
    assert crashes == ["crash"]
