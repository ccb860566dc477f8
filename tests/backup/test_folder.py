"""The folder of a backup: whole or not there, private, checked, and read by nobody who is too old for it."""

import json
import os
import re
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flows.backup import manifest, nightly
from flows.backup.files import pack, unpack
from flows.backup.make import make
from flows.backup.restore import restore
from flows.backup.verify import verify
from flows.errors import BackupError, StartRefused
from flows.journal.segments import list_segments
from flows.lock import locked
from flows.recovery import RESTORING, check_restored
from flows.store.dump import dump
from tests.backup.conftest import Installation
from tests.cli.heatpump import clean_environment, heatpump

pytestmark = pytest.mark.slow


@pytest.fixture
def backups(installation: Installation) -> Path:
    return installation.folder / "backups"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_backup_is_private_whole_and_good(installation: Installation, backups: Path) -> None:
    path, made = make(installation.settings, backups)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (backups, path, path / "journal")} == {0o700}
    assert {each.stat().st_mode & 0o077 for each in files(path)} == {0}
    assert [each for each in backups.iterdir() if each.name.startswith(manifest.UNFINISHED)] == []
    assert manifest.read(path) == made
    assert made.recovery is not None and made.fence is not None
    assert made.recovery <= made.fence.seq < made.last_seq == installation.journal.synced_seq
    assert sum(made.counts["rollup_1m"].values()) > 60
    found = verify(path, made)
    assert found.differences == [] and found.rollups > 100 and found.frames == made.last_seq


def test_segments_that_have_not_changed_are_stored_once(installation: Installation, backups: Path) -> None:
    first, _ = make(installation.settings, backups)
    installation.more(30)
    second, again = make(installation.settings, backups)
    shared = [each for each in (second / "journal").iterdir() if each.stat().st_nlink == 2]
    assert len(shared) == len([*(first / "journal").iterdir()]) - 1 > 1
    shutil.rmtree(first)
    assert verify(second, again).differences == []


def test_a_damaged_segment_of_the_backup_before_is_packed_again(installation: Installation, backups: Path) -> None:
    first, _ = make(installation.settings, backups)
    damage(min((first / "journal").iterdir()))
    second, again = make(installation.settings, backups)
    assert verify(second, again).differences == []


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_newest_are_kept(installation: Installation, backups: Path) -> None:
    made = [make(installation.settings, backups)[0] for _ in range(4)]
    assert nightly.keep_newest(backups, 2) == made[:2]
    assert sorted(path for path in backups.iterdir() if path.is_dir()) == made[2:]


def test_a_torn_tail_is_left_out(installation: Installation, backups: Path) -> None:
    newest = list_segments(installation.data / "journal")[-1].path
    whole = newest.stat().st_size
    with newest.open("ab") as file:
        file.write(newest.read_bytes()[-40:-10])
    path, made = make(installation.settings, backups)
    assert next(each.unpacked for each in made.files if newest.name in each.path) == whole
    assert verify(path, made).differences == []


def test_where_frames_are_missing_that_a_flow_needs_none_is_made(
    installation: Installation, backups: Path
) -> None:
    segments = list_segments(installation.data / "journal")
    for segment in segments[:-1]:
        segment.path.unlink()
    with pytest.raises(BackupError, match=r"frames \d+ to \d+ are needed and no longer in"):
        make(installation.settings, backups)
    assert [*backups.iterdir()] == []


@pytest.mark.parametrize("room", [20_000, 70_000])
def test_a_full_disk_leaves_nothing_behind(installation: Installation, backups: Path, room: int) -> None:
    first, _ = make(installation.settings, backups)
    before = files(backups)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.app", "backup", str(backups)],
        env=clean_environment(HEATPUMP_DATA=installation.data),
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("heatpump: no backup was made") and done.stderr.count("\n") == 1
    assert [each for each in files(backups) if each.name != "backup.lock"] == before
    assert manifest.named(backups)[0] == first


def test_two_at_once_are_refused(installation: Installation, backups: Path) -> None:
    with nightly.alone(installation.data / "run", backups):
        done = heatpump("backup", backups, HEATPUMP_DATA=installation.data)
    assert done.returncode == 2 and "another backup is being made" in done.stderr


def test_the_command_says_one_line_and_leaves_a_note(installation: Installation, backups: Path) -> None:
    for _ in range(3):
        done = heatpump("backup", backups, "--keep", 2, HEATPUMP_DATA=installation.data)
        assert done.returncode == 0, done.stderr
    path, made = manifest.named(backups)
    assert done.stdout.startswith(
        f"backup {path}: {made.readings:,} readings, sqlite, frames 1 to {made.last_seq}, "
    )
    assert ", deleted " in done.stdout and done.stdout.count("\n") == 1
    note = nightly.read_note(installation.data)
    assert note is not None and (note.at, note.size, note.path) == (made.made_ms, made.size, str(path))
    assert len([each for each in backups.iterdir() if each.is_dir()]) == 2


def test_what_a_killed_backup_left_goes_with_the_next(installation: Installation, backups: Path) -> None:
    (backups / f"{manifest.UNFINISHED}20260101T000000.000Z" / "journal").mkdir(parents=True)
    path, _ = make(installation.settings, backups)
    assert [*backups.iterdir()] == [path]


def test_a_damaged_missing_or_newer_file_is_each_told_in_a_sentence(
    installation: Installation, backups: Path
) -> None:
    path, made = make(installation.settings, backups)
    segment = min((path / "journal").iterdir())
    damage(segment)
    (path / "store.sqlite.zst").unlink()
    done = heatpump("backup", backups, "--verify")
    assert done.returncode == 1
    assert f"{segment} is damaged: its sha256 is another" in done.stdout
    assert "store.sqlite.zst is missing: the backup is not whole" in done.stdout
    assert f"backup {path} is not good: 2 differences" in done.stdout
    with pytest.raises(BackupError, match=r"is damaged|is missing"):
        restore(path, made, installation.settings.model_copy(update={"data": backups.parent / "new"}))
    text = json.loads((path / manifest.NAME).read_text())
    (path / manifest.NAME).write_text(json.dumps({**text, "format": 2, "files": None}))
    done = heatpump("restore", backups, "--verify")
    assert done.returncode == 2 and "has format 2, this version reads up to 1" in done.stderr
    (path / manifest.NAME).write_text("{")
    done = heatpump("restore", backups, "--verify")
    assert done.returncode == 2 and "manifest.json is damaged" in done.stderr


@pytest.mark.parametrize(
    "name", ["../../stolen.zst", "/stolen.zst", "journal/../../stolen.zst", "..", "./a.zst", ""]
)
def test_a_backup_that_would_write_outside_is_refused(
    installation: Installation, backups: Path, name: str
) -> None:
    path, made = make(installation.settings, backups)
    hostile = pack(installation.settings.graph, backups.parent, "stolen")
    files = [*made.files, msgspec.structs.replace(hostile, path=name)]
    manifest.write(path, msgspec.structs.replace(made, files=files))
    with pytest.raises(BackupError, match="is no name of a file in a backup"):
        manifest.read(path)
    installation.destroy()
    done = heatpump("restore", backups, HEATPUMP_DATA=installation.data)
    assert done.returncode == 2 and "is no name of a file in a backup" in done.stderr
    assert not (installation.data.parent / "stolen").exists() and not installation.data.exists()


def test_of_a_file_that_holds_more_than_the_manifest_says_no_more_is_written(tmp_path: Path) -> None:
    source, target = tmp_path / "zeros", tmp_path / "unpacked"
    source.write_bytes(bytes(50_000_000))
    packed = msgspec.structs.replace(pack(source, tmp_path, "bomb"), unpacked=1_000)
    with pytest.raises(BackupError, match="holds more than the 1000 bytes"):
        unpack(tmp_path, packed, target)
    assert target.stat().st_size <= 1_000


def tampered(path: Path, made: manifest.Manifest, statement: str) -> manifest.Manifest:
    """Change the store in a backup, and its manifest's hash with it."""
    packed = next(each for each in made.files if each.path.startswith("store"))
    store = path.parent / "tampered.sqlite"
    unpack(path, packed, store)
    db = sqlite3.connect(store, isolation_level=None)
    db.execute("PRAGMA journal_mode=DELETE")
    assert db.execute(statement).rowcount > 0
    db.close()
    other = pack(store, path, "store.sqlite")
    return msgspec.structs.replace(made, files=[other if each is packed else each for each in made.files])


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM raw WHERE key IN (SELECT key FROM raw LIMIT 1)", r"raw of \d{4}-\d\d has"),
        (
            "UPDATE rollup_1m SET count = count + 1 WHERE key IN (SELECT key FROM rollup_1m LIMIT 1 OFFSET 9)",
            "counts",
        ),
        (
            "UPDATE rollup_1m SET body = (SELECT body FROM rollup_1m ORDER BY key LIMIT 1 OFFSET 3)"
            " WHERE key IN (SELECT key FROM rollup_1m ORDER BY key LIMIT 1 OFFSET 9)",
            "its parts give",
        ),
        ("DELETE FROM alert_transition", "alert_transition"),
        ("UPDATE fence SET seq = seq + 1", "fence"),
    ],
)
def test_what_is_not_as_the_manifest_or_the_raw_rows_say_is_found(
    installation: Installation, backups: Path, statement: str, said: str
) -> None:
    path, made = make(installation.settings, backups)
    found = verify(path, tampered(path, made, statement)).differences
    assert any(re.search(said, each) for each in found), found


def test_only_an_empty_installation_is_filled(installation: Installation, backups: Path) -> None:
    path, made = make(installation.settings, backups)
    before = [*dump(installation.settings.store)]
    with pytest.raises(BackupError, match=r"is not empty: it has store\.sqlite, journal, recovery;"):
        restore(path, made, installation.settings)
    assert [*dump(installation.settings.store)] == before


def test_a_restore_killed_at_any_step_is_gone_on_with(installation: Installation, backups: Path) -> None:
    path, made = make(installation.settings, backups)
    installation.destroy()

    class Killed(Exception):
        pass

    for fatal in ("unpack", "store", "recovery", "journal", "end"):

        def step(name: str, fatal: str = fatal) -> None:
            if name == fatal:
                raise Killed

        with pytest.raises(Killed):
            restore(path, made, installation.settings, step=step)
        with pytest.raises(StartRefused, match="has not ended: give the same command again"):
            check_restored(installation.data)
    restore(path, made, installation.settings)
    check_restored(installation.data)
    assert not (installation.data / RESTORING).exists()
    installation.run()
    assert [*dump(installation.settings.store)] == installation.whole(made.last_seq)


def test_beside_a_running_flow_nothing_is_restored(installation: Installation, backups: Path) -> None:
    path, made = make(installation.settings, backups)
    installation.destroy()
    installation.data.mkdir()
    with locked(installation.data / "lock"), pytest.raises(StartRefused, match="is in use by process"):
        restore(path, made, installation.settings)


def test_credentials_are_in_no_backup_and_come_back_from_their_own_file(
    installation: Installation, backups: Path
) -> None:
    secret = installation.data / "secrets" / "command-token"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("token-7f3a\n")
    file = installation.folder / "apart.age"
    command = [sys.executable, "-m", "flows.cli.app"]
    environment = clean_environment(HEATPUMP_DATA=installation.data)

    def run(*arguments: object, said: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)], env=environment, input=said, capture_output=True, text=True
        )

    short = run("backup", backups, "--credentials", file, said="short\n")
    assert short.returncode == 2 and "at least 12 characters" in short.stderr and not file.exists()
    done = run("backup", backups, "--credentials", file, said="a long enough phrase\n")
    assert done.returncode == 0 and "data/secrets/command-token" in done.stdout, done.stderr
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n") and file.stat().st_mode & 0o077 == 0
    assert "token-7f3a" not in done.stdout
    assert not any(b"token-7f3a" in each.read_bytes() for each in files(backups))
    installation.destroy()
    wrong = run("restore", backups, "--credentials", file, said="another phrase\n")
    assert wrong.returncode == 2 and "the passphrase is another" in wrong.stderr
    done = run("restore", backups, "--credentials", file, said="a long enough phrase\n")
    assert done.returncode == 0, done.stderr
    assert secret.read_text() == "token-7f3a\n" and secret.stat().st_mode & 0o077 == 0


def test_an_empty_folder_or_none_is_told(tmp_path: Path) -> None:
    for command, said in (("restore", "is not there"), ("backup", "has no journal")):
        done = heatpump(command, tmp_path / "none", HEATPUMP_DATA=tmp_path / "data")
        assert done.returncode == 2 and said in done.stderr
    os.mkdir(tmp_path / "empty")
    done = heatpump("restore", tmp_path / "empty", HEATPUMP_DATA=tmp_path / "data")
    assert done.returncode == 2 and "holds no whole backup" in done.stderr
