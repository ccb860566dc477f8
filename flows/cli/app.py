"""The `heatpump` command: one command a file, each importing what is heavy only when it runs."""

import inspect
import sys
from collections.abc import Callable

import typer

from flows.cli.accounts import ACCOUNT_COMMANDS
from flows.cli.api import api
from flows.cli.backup import backup
from flows.cli.dead_letters import LETTER_COMMANDS
from flows.cli.demo import demo
from flows.cli.device import DEVICE_COMMANDS
from flows.cli.devices import devices
from flows.cli.doctor import doctor
from flows.cli.flow import flow
from flows.cli.graph import graph
from flows.cli.healthy import healthy
from flows.cli.import_ import import_
from flows.cli.influxdb import INFLUXDB_COMMANDS
from flows.cli.migrate import migrate
from flows.cli.panel import panel
from flows.cli.prove import prove
from flows.cli.rebuild import rebuild
from flows.cli.record import record
from flows.cli.replay import replay
from flows.cli.restore import restore
from flows.cli.status import status
from flows.cli.store import STORE_COMMANDS
from flows.cli.tail import tail
from flows.cli.token import TOKEN_COMMANDS
from flows.cli.up import up
from flows.cli.user import USER_COMMANDS
from flows.errors import HeatPumpError, in_our_words

COMMANDS = (
    up,
    status,
    devices,
    tail,
    demo,
    flow,
    api,
    panel,
    record,
    replay,
    import_,
    migrate,
    graph,
    doctor,
    healthy,
    prove,
    rebuild,
    backup,
    restore,
)


def group(commands: tuple[Callable[..., int | None], ...], about: str, epilog: str = "") -> typer.Typer:
    """Make a command of commands. Plain help: loading rich for it would take longer than everything else."""
    made = typer.Typer(
        help=about, epilog=epilog, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    for command in commands:
        # Docstrings keep examples right below their heading; help joins lines that no empty one parts.
        text = inspect.cleandoc(command.__doc__ or "").replace("Examples:\n", "Examples:\n\n")
        made.command(command.__name__, help=text)(command)
    return made


app = group(
    COMMANDS,
    "Heat pump monitoring that loses nothing: MQTT through a durable node graph to SQLite and REST.",
    "Settings are environment variables: docs/reference/settings.md.",
)
app.add_typer(group(LETTER_COMMANDS, "See what was refused; try it again, or drop it."), name="dead-letters")
app.add_typer(group(STORE_COMMANDS, "What the store keeps, and for how long."), name="store")
app.add_typer(group(USER_COMMANDS, "Who may log in to pages and API, and see which devices."), name="user")
app.add_typer(group(TOKEN_COMMANDS, "What programs show the API, and which devices they may see."), name="token")
app.add_typer(group(DEVICE_COMMANDS, "Accounts of devices at the deployed broker."), name="device")
app.add_typer(
    group(ACCOUNT_COMMANDS, "Our own accounts at the deployed broker, and the shared one."), name="accounts"
)
app.add_typer(
    group(INFLUXDB_COMMANDS, "Make an InfluxDB server ready for us, by its operator's token."), name="influxdb"
)


def main() -> None:
    """Run a command; a mistake of the user is one sentence and exit code 2."""
    try:
        code = app(prog_name="heatpump", standalone_mode=False)
    except typer.TyperException as error:
        what, parted, why = error.format_message().partition(": ")
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "heatpump"
        code = _refuse(f"{what}{parted}{in_our_words(why)} (see `{command} --help`)")
    except HeatPumpError as error:
        code = _refuse(str(error))
    except OSError as error:
        where = f"{error.filename!r} cannot be read or written: " if error.filename else ""
        code = _refuse(f"{where}{error.strerror or error}")
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code)


def _refuse(sentence: str) -> int:
    print(f"heatpump: {sentence}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
