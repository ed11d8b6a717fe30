"""The `turnout` command."""

from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from turnout.epp.cli import screen
from turnout.epp.cli.demo import demo
from turnout.epp.cli.epp import epp
from turnout.epp.cli.foreign_flags import separate
from turnout.epp.cli.go_flags import from_go
from turnout.epp.cli.kv_doctor import kv_doctor
from turnout.epp.cli.replay import replay
from turnout.epp.cli.sim_server import sim_server
from turnout.epp.cli.status import status
from turnout.epp.cli.topology import topology
from turnout.epp.cli.up import up
from turnout.epp.cli.validate import validate

app = typer.Typer(no_args_is_help=True, add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def turnout(
    *, traceback: Annotated[bool, typer.Option("--traceback", help="Show Python tracebacks of errors.")] = False
) -> None:
    """Choose the model server for every LLM request behind Envoy."""
    screen.Settings.show_tracebacks = traceback


app.command("up")(up)
app.command("epp")(epp)
app.command("validate")(validate)
app.command("status")(status)
app.command("kv-doctor")(kv_doctor)
app.command("topology")(topology)
app.command("sim-server")(sim_server)
app.command("demo")(demo)
app.command("replay")(replay)


def run(arguments: Sequence[str]) -> None:
    """Runs the command line, in Go's spelling or ours, and exits the process."""
    ours = from_go(arguments, _switches())
    if ours[:1] == ["epp"]:
        foreign = separate(ours)
        for complaint in foreign.refused:
            screen.stderr.print(f"turnout: {complaint}", style="red", markup=False)
        if foreign.refused:
            raise SystemExit(screen.EXIT_USAGE)
        if foreign.without_effect:
            screen.stderr.print(f"turnout: without effect here: {', '.join(foreign.without_effect)}", markup=False)
        ours = list(foreign.arguments)
    app(args=ours, prog_name="turnout")


def _switches() -> frozenset[str]:
    """Names of all boolean flags of all commands, read off the commands themselves."""
    group = get_command(app)
    commands = list(getattr(group, "commands", {}).values())
    names = (
        name.removeprefix("--")
        for command in commands
        for parameter in command.params
        if getattr(parameter, "is_flag", False)
        for name in parameter.opts
    )
    return frozenset(names)
