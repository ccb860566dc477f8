#!/usr/bin/env python
"""Fuzzing: messages, commands, files and requests as nobody should send them.

    .venv/bin/python scripts/fuzz.py messages --count 10000000
    .venv/bin/python scripts/fuzz.py messages --count 50000 --seed 7 --twice
    .venv/bin/python scripts/fuzz.py coverage decode --minutes 10
    .venv/bin/python scripts/fuzz.py api --examples 200

docs/reliability.md tells what each tries, and what came of it. Exit code 1 if anything is found.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    from tests.fuzz.run import Verdict

app = typer.Typer(no_args_is_help=True)


@app.callback(help=__doc__)
def main() -> None:
    """Say what there is."""


@app.command()
def messages(
    count: Annotated[int, typer.Option(min=1, help="How many messages.")] = 1_000_000,
    seed: Annotated[str, typer.Option(help="Everything follows from it.")] = "1",
    chunk: Annotated[
        int, typer.Option(min=1, help="Messages a store; each chunk has a seed and a store.")
    ] = 1_000_000,
    twice: Annotated[
        bool, typer.Option(help="Run each chunk again in other batches: the stores must be equal.")
    ] = False,
    keep: Annotated[bool, typer.Option(help="Keep the stores.")] = False,
) -> None:
    """Bent messages through the real pipeline into a real store; each must be accounted for."""
    from tests.fuzz.run import run

    sums: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    done, cpu, began, troubles = 0, 0.0, time.monotonic(), 0
    folder = Path(tempfile.mkdtemp(prefix="heatpump-fuzz-"))
    while done < count:
        name = f"{seed}-{done // chunk}"
        store = folder / name / "store.sqlite"
        store.parent.mkdir()
        verdict = run(name, min(chunk, count - done), store)
        found = verdict.troubles + (_differences(verdict, name, store) if twice else [])
        for trouble in found:
            print(f"FOUND seed {name}: {trouble}", flush=True)
        troubles += len(found)
        sums.update(verdict.sums)
        letters.update(verdict.letters)
        rules.update(verdict.counts)
        done, cpu = done + min(chunk, count - done), cpu + verdict.seconds
        print(f"{done:>11,} messages  {cpu / done * 1e6:6.1f} us CPU each  {_line(sums)}", flush=True)
        if not (keep or found):
            for file in store.parent.iterdir():
                file.unlink()
    seconds = time.monotonic() - began
    print(f"{count:,} messages in {seconds:.0f} s, {cpu:.0f} s of CPU (making the messages included)")
    print(_line(sums))
    print("dead letters: " + _line(letters))
    print("rules: " + _line(rules))
    print(f"{troubles} found" + (f", see {folder}" if troubles or keep else ""))
    raise SystemExit(troubles > 0)


@app.command()
def coverage(
    target: Annotated[str, typer.Argument(help="One of tests/fuzz/targets.py, such as messages.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="How long.")] = 5.0,
    corpus: Annotated[Path | None, typer.Option(help="Folder that takes what reaches new code.")] = None,
) -> None:
    """Bytes that atheris bends towards code not reached yet (`pip install atheris`); ends at the first find."""
    import atheris

    with atheris.instrument_imports(include=["flows"]):
        from tests.fuzz.targets import FOLDER, TARGETS
    folder = corpus or Path(tempfile.mkdtemp(prefix=f"heatpump-fuzz-{target}-"))
    folder.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={minutes * 60:.0f}",
        "-max_len=4096",
        f"-artifact_prefix={folder}-",
        "-timeout=20",
    ]
    atheris.Setup([sys.argv[0], str(folder), str(FOLDER / target), *options], TARGETS[target])
    atheris.Fuzz()


@app.command()
def api(
    examples: Annotated[int, typer.Option(min=1, help="Requests of each kind to each operation.")] = 100,
    seed: Annotated[int, typer.Option(help="Everything drawn follows from it.")] = 1,
) -> None:
    """Right and wrong requests drawn from the OpenAPI document, to an API with a flow behind; ends at a find."""
    from tests.fuzz.requests import attack
    from tests.fuzz.site import site

    total = 0
    with tempfile.TemporaryDirectory(prefix="heatpump-fuzz-") as folder, site(Path(folder)) as (running, _, known):
        for name, sent in attack(str(running.client.base_url), examples, seed, known):
            print(f"{sent:>7,}  {name}", flush=True)
            total += sent
    print(f"{total:,} requests, every answer as documented")


def _differences(verdict: "Verdict", seed: str, store: Path) -> list[str]:
    """Run a chunk again, in batches of another size; say where the stores differ."""
    from flows.store.dump import dump
    from tests.fuzz.run import run

    again = store.parent / "again" / "store.sqlite"
    again.parent.mkdir()
    run(seed, verdict.messages, again, batch_frames=777)
    for number, (one, other) in enumerate(zip(dump(store), dump(again), strict=False)):
        if one != other:
            return [f"line {number} of the dumps differs: {one[:300]} | {other[:300]}"]
    same = sum(1 for _ in dump(store)) == sum(1 for _ in dump(again))
    for file in again.parent.iterdir():
        file.unlink()
    again.parent.rmdir()
    return [] if same else ["one dump is longer than the other"]


def _line(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())


if __name__ == "__main__":
    app()
