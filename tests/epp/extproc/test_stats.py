from dataclasses import dataclass, field

from turnout.epp.extproc.stats import StreamStats


@dataclass
class Log:
    events: list[str] = field(default_factory=list)

    def stream_started(self) -> None:
        self.events.append("started")

    def stream_ended(self, code: str, seconds: float) -> None:
        self.events.append(f"{code} after {seconds}")


def test_streams_are_counted_by_code_and_told_to_the_observer() -> None:
    log = Log()
    stats = StreamStats(log)
    stats.stream_started()
    stats.stream_started()
    stats.stream_started()
    stats.stream_ended("OK", 1.5)
    stats.stream_ended("CANCELLED", 2.0)
    assert stats.in_flight == 1
    assert stats.ended == {"OK": 1, "CANCELLED": 1}
    assert log.events == ["started", "started", "started", "OK after 1.5", "CANCELLED after 2.0"]
