"""The pages of settings and commands say what the code says."""

import inspect
import re
from pathlib import Path

import pytest
import typer
from pydantic import AliasChoices, SecretStr

from flows.cli.accounts import ACCOUNT_COMMANDS
from flows.cli.app import COMMANDS, LETTER_COMMANDS, STORE_COMMANDS, TOKEN_COMMANDS, USER_COMMANDS, app
from flows.cli.device import DEVICE_COMMANDS
from flows.settings import Settings

ROOT = Path(__file__).parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
CLICK = typer.main.get_command(app)


def row(name: str) -> str:
    """A setting as its row in settings.md."""
    field = Settings.model_fields[name]
    assert isinstance(field.validation_alias, AliasChoices)
    names = " or ".join(f"`{alias}`" for alias in field.validation_alias.choices)
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if isinstance(default, Path) and default.is_absolute():
        default = default.relative_to(ROOT)
    shown = "–" if default == "" else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    return f"| {names} | {shown} | {field.description} |"


def test_the_settings_page_has_a_row_for_each_setting_and_no_other():
    text = (REFERENCE / "settings.md").read_text()
    listed = [line for line in text.splitlines() if line.startswith("| `")]
    assert sorted(listed) == sorted(row(name) for name in Settings.model_fields)


def test_each_setting_is_a_sentence():
    for name, field in Settings.model_fields.items():
        assert re.fullmatch(r"[A-Z].*[.](?: \[\w+\])?", field.description or ""), name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_the_commands_page_has_each_command_with_its_options_and_examples(command):
    check_section(f"## heatpump {command.__name__}", command, CLICK.commands[command.__name__])


@pytest.mark.parametrize("command", LETTER_COMMANDS, ids=lambda command: command.__name__)
def test_the_commands_page_has_each_command_on_dead_letters(command):
    name = command.__name__
    check_section(
        f"### heatpump dead-letters {name}", command, CLICK.commands["dead-letters"].commands[name], end="##"
    )


@pytest.mark.parametrize(
    ("group", "command"),
    [("user", each) for each in USER_COMMANDS]
    + [("token", each) for each in TOKEN_COMMANDS]
    + [("store", each) for each in STORE_COMMANDS]
    + [("device", each) for each in DEVICE_COMMANDS]
    + [("accounts", each) for each in ACCOUNT_COMMANDS],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_the_commands_page_has_each_command_on_users_and_tokens(group, command):
    name = command.__name__
    check_section(f"### heatpump {group} {name}", command, CLICK.commands[group].commands[name], end="##")


def check_section(heading, command, click, end="## "):
    text = (REFERENCE / "cli.md").read_text()
    section = re.search(rf"^{heading}$(.*?)(?=^{end}|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"cli.md has no section {heading}"
    said = section.group(1)
    summary, _, rest = inspect.cleandoc(command.__doc__).partition("\n")
    assert summary in said
    examples = [line.strip() for line in rest.partition("Examples:")[2].splitlines() if line.strip()]
    assert examples
    for example in examples:
        assert example in said
    for parameter in click.params:
        for option in parameter.opts:
            shown = option if option.startswith("-") else parameter.metavar or option.upper()
            assert option == "--help" or f"`{shown}`" in said, option


def test_the_commands_page_has_no_command_that_is_not():
    text = (REFERENCE / "cli.md").read_text()
    groups = {name for name, command in CLICK.commands.items() if hasattr(command, "commands")}
    sections = re.findall(r"^## heatpump ([\w-]+)$", text, re.MULTILINE)
    assert [name for name in sections if name not in groups] == [command.__name__ for command in COMMANDS]
