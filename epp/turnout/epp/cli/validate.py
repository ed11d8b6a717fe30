"""`turnout validate`: checks a configuration and shows what it means."""

from pathlib import Path
from typing import Annotated

import typer

from turnout.config import ConfigError, Pipeline, load_pipeline_file
from turnout.epp.cli.screen import EXIT_USAGE, Settings, print_json, stderr


def validate(
    *,
    file: Annotated[Path, typer.Argument(help="EndpointPickerConfig in YAML or JSON.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")] = False,
) -> None:
    """Check a configuration file.

    Prints every problem with its line, its path and what would be accepted (exit status 2), or the effective
    configuration with each injected default marked (exit status 0).

    Example: turnout validate epp.yaml
    """
    try:
        pipeline = load_pipeline_file(file)
    except ConfigError as error:
        if Settings.show_tracebacks:
            raise
        _show_problems(error, as_json=as_json)
        raise typer.Exit(EXIT_USAGE) from None
    _show_pipeline(pipeline, as_json=as_json)


def _show_problems(error: ConfigError, *, as_json: bool) -> None:
    if as_json:
        problems = [
            {"line": problem.line, "path": problem.path, "message": problem.message, "hint": problem.hint}
            for problem in error.problems
        ]
        print_json({"valid": False, "source": error.source, "problems": problems})
    else:
        typer.echo(str(error), err=True)


def _show_pipeline(pipeline: Pipeline, *, as_json: bool) -> None:
    if as_json:
        print_json({"valid": True, **pipeline.effective.to_json()})
        return
    for warning in pipeline.warnings:
        stderr.print(f"warning: {warning}", style="yellow", markup=False)
    typer.echo(pipeline.effective.to_yaml(), nl=False)
