"""scripts/lib/setup.sh on machines that have this or that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
TOOLS = ("bash", "env", "dirname", "cat", "sha256sum", "cut", "rm")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone's scripts beside a PATH that holds no Python yet."""
    shutil.copytree(ROOT / "scripts", tmp_path / "clone" / "scripts")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        os.symlink(shutil.which(tool) or tool, tmp_path / "bin" / tool)
    return tmp_path / "clone"


def provide(clone: Path, name: str, script: str) -> None:
    """Put a command on the PATH."""
    command = clone.parent / "bin" / name
    command.write_text(f"#!/usr/bin/env bash\n{script}\n")
    command.chmod(0o755)


def run(clone: Path, command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(clone.parent / "bin"), "HOME": str(clone.parent)}
    return subprocess.run(["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("script", ["up", "test", "check"])
def test_without_a_python_one_sentence_says_what_to_do_with_code_2(clone, script):
    provide(clone, "python3", "exit 1")
    done = run(clone, f"scripts/{script}")
    (sentence,) = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert sentence.startswith("heat-pump-monitor needs Python 3.11 or 3.12") and "apt-get install" in sentence
    assert not (clone / ".venv").exists()


def test_a_python_behind_an_unusable_one_is_found(clone):
    provide(clone, "python3.12", "echo 'no such version' >&2; exit 127")
    provide(clone, "python3", f'exec {sys.executable} "$@"')
    done = run(clone, "source scripts/lib/setup.sh; find_python")
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", sys.executable)


def built(name: str, optimised: bool) -> str:
    """A Python that was built with optimisations or without, and says its name where it is asked for its path."""
    how = f'*enable-optimizations*) exit {int(not optimised)};; *"print(sys.executable)"*) echo {name};;'
    return f'case "$*" in {how} *) exec {sys.executable} "$@";; esac'


@pytest.mark.parametrize("there", [{"python3.12": False, "python3.11": True}, {"python3.12": False}])
def test_an_optimised_python_is_taken_before_one_that_is_not_and_that_before_none(clone, there):
    for name, optimised in there.items():
        provide(clone, name, built(name, optimised))
    done = run(clone, "source scripts/lib/setup.sh; find_python")
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", [*there][-1])


def test_pyenvs_versions_are_looked_through(clone):
    folder = clone.parent / ".pyenv" / "versions" / "3.12.99" / "bin"
    folder.mkdir(parents=True)
    os.symlink(sys.executable, folder / "python")
    done = run(clone, "source scripts/lib/setup.sh; find_python")
    assert (done.returncode, done.stderr) == (0, "")


def test_where_only_another_python_is_found_uv_provides_one(clone):
    provide(clone, "python3", "exit 1")
    provide(
        clone,
        "uv",
        f'case "$*" in "python install 3.12") : >../installed;;'
        f' "python find 3.12") echo {sys.executable};; *) exit 1;; esac',
    )
    done = run(clone, "source scripts/lib/setup.sh; find_python")
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)
    assert done.stderr == "getting Python 3.12 with uv\n"
    assert (clone.parent / "installed").exists()


def test_a_set_up_environment_is_left_alone(clone):
    bin_folder = clone / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    os.symlink(sys.executable, bin_folder / "python")
    run(clone, 'source scripts/lib/setup.sh; stamp_of "$venv/bin/python" >"$venv/.stamp"')
    done = run(clone, "source scripts/lib/setup.sh; set_up")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (clone / "requirements.lock").write_text("changed")
    changed = run(
        clone, 'source scripts/lib/setup.sh; [[ "$(<"$venv/.stamp")" == "$(stamp_of "$venv/bin/python")" ]]'
    )
    assert changed.returncode == 1
