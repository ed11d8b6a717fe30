from turnout.framework import Refusal, RefusalKind


def test_a_refusal_says_no_more_than_it_is_told() -> None:
    refusal = Refusal(RefusalKind.TOO_LARGE, "the body is larger than 1 byte")
    assert (refusal.dropped_reason, refusal.retry_after_seconds) == ("", None)


def test_kinds_are_spelled_as_clients_read_them() -> None:
    assert [str(kind) for kind in RefusalKind] == [
        "BadRequest",
        "Unauthorized",
        "Forbidden",
        "NotFound",
        "PreconditionFailed",
        "PayloadTooLarge",
        "ResourceExhausted",
        "Internal",
        "ServiceUnavailable",
    ]
