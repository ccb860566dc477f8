"""heatpump dead-letters: what it lists in any terminal, and how mistakes read."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.errors import HeatPumpError
from flows.model.command import Command
from flows.model.dead_letter import DeadLetter, Retry, refused_again
from flows.store import open_writer
from tests.recorded import ms

AT = ms("2026-02-02T12:00:00Z")
RETRY = Retry(3 * 8192, 16384, 1, Command(3, "id", "Anna", AT, "dead_letter_retry", {}))


@pytest.fixture
def run(tmp_path: Path, monkeypatch):
    """Run a subcommand on a store of two letters."""
    monkeypatch.setenv("HEATPUMP_DATA", str(tmp_path))
    items = [
        DeadLetter(8192, "site1", "heatpump/site1/data", AT, "older_than_retention", "too old " * 20, b"{}", 2),
        DeadLetter(16384, "", "heatpump/\x1b[31m\nx/data", AT, "bad_device_id", "no id", b"{", 1),
        refused_again(RETRY, 16384, "not_json", "no JSON"),
    ]
    with closing(open_writer(tmp_path / "store.sqlite")) as writer:
        writer.apply(items)

    def invoke(*args: str, answer: str = ""):
        return CliRunner().invoke(app, ["dead-letters", *args], input=answer, standalone_mode=False)

    return invoke


def test_a_letter_is_listed_with_its_whole_time_reason_and_detail_however_narrow_the_terminal(run):
    lines = run("list").output.splitlines()
    assert len(lines) == 4
    assert (
        lines[0] == "16384       2026-02-02T12:00:00  heatpump/\N{REPLACEMENT CHARACTER}[31m x/data  bad_device_id"
    )
    assert lines[1] == "            1 byte, open, 1 try: not_json: no JSON"
    assert lines[2] == "8192        2026-02-02T12:00:00  site1  older_than_retention"
    assert len(lines[2]) < 80 and lines[3].strip() == f"2 bytes, open, 0 tries: {'too old ' * 20}".strip()


def test_the_list_is_json_for_programs(run):
    listed = json.loads(run("list", "--json", "--reason", "bad_device_id").output)
    assert [(letter["id"], letter["reason"], letter["state"]) for letter in listed] == [
        (16384, "bad_device_id", "open")
    ]
    assert json.loads(run("list", "--json", "--reason", "empty").output) == []


@pytest.mark.parametrize(
    ("args", "answer", "said", "code"),
    [
        (["list", "--reason", "empty"], "", "no open dead letter matches", None),
        (["list", "--device", "a b", "--state", "all"], "", "no dead letter matches", None),
        (["drop", "--all", "--reason", "empty", "--yes"], "", "no open dead letter matches", 1),
        (["retry", "--all"], "n\n", "retry 2 dead letters of 2 devices", 1),
        (["retry", "--all"], "n\n", "nothing was done: `retry --all` asks first, or takes --yes", 1),
        (["drop", "--all", "--reason", "bad_device_id"], "", "drop 1 dead letter of 1 device (1 bad", 1),
        (["drop", "--all"], "", "nothing was done", 1),
    ],
)
def test_what_was_not_done_is_said(run, args, answer, said, code):
    done = run(*args, answer=answer)
    assert said in done.output and done.exception is None
    assert done.return_value == code


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["retry"], "no letter is named: name letters by id, or give --all"),
        (["drop", "1", "--all"], "the letters are named already: name letters by id, or give --all"),
        (["retry", "8192", "--reason", "empty"], "--reason: 'empty' chooses from --all: leave it out"),
        (["drop", "8192", "--device", "x"], "--device: 'x' chooses from --all: leave it out"),
        (["list", "--reason", "typo"], "reason: 'typo' must be one of bad_topic, bad_device_id, "),
        (["drop", "--all", "--reason", "typo", "--yes"], "reason: 'typo' must be one of bad_topic"),
        (["show", "9" * 23], f"ID: {'9' * 23} is no id of a letter"),
        (["retry", "8192", "9" * 23], f"ID: {'9' * 23} is no id of a letter"),
    ],
)
def test_a_mistake_is_a_sentence(run, args, sentence):
    done = run(*args)
    assert isinstance(done.exception, HeatPumpError)
    assert sentence in str(done.exception)
