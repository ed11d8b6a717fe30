from turnout.epp.cli.foreign_flags import separate


def test_flags_without_effect_are_taken_out_with_their_values() -> None:
    given = [
        "epp",
        "--tracing",
        "--zap-encoder",
        "json",
        "--grpc-port=1",
        "--pool-group=g",
        "--no-enable-pprof",
        "-v",
        "4",
    ]
    found = separate(given)
    assert found.arguments == ("epp", "--grpc-port=1", "-v", "4")
    assert found.without_effect == ("--tracing", "--zap-encoder", "--pool-group", "--enable-pprof")
    assert found.refused == ()


def test_flags_that_would_be_missed_are_refused_with_the_way_out() -> None:
    found = separate(["--lora-info-metric=x", "--endpoint-selector", "app=x"])
    lora, selector = found.refused
    assert lora.startswith("--lora-info-metric is not a flag any more; name the metric in engineConfigs")
    assert selector.startswith("--endpoint-selector needs Kubernetes discovery, which this version does not have")
