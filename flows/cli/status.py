"""heatpump status: what `heatpump up` has running."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import Data

if TYPE_CHECKING:
    from flows.settings import Settings


def status(
    data: Data = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False
) -> int:
    """Show what `up` runs, and how it is.

    Each process with its pid, port, since when, restarts and health. Exit code 0 if all are healthy, else 1.

    Examples:
      heatpump status

      heatpump status --json --data /var/lib/heatpump
    """
    from flows.settings import load_settings

    settings = load_settings(data=data)
    report = read_report(settings.data)
    if report is None:
        typer.echo(
            '{"running": false, "processes": []}'
            if as_json
            else f"no `heatpump up` runs on {_shown(settings.data)}; what runs without it: `heatpump doctor`"
        )
        return 1
    settings = running_settings(settings, report)
    for process in report["processes"]:
        process["problem"] = problem_of(process, settings)
        process["healthy"] = not process["problem"]
    if as_json:
        typer.echo(json.dumps({"running": True, **report}))
    else:
        _print(report)
    return 0 if all(process["healthy"] for process in report["processes"]) else 1


def read_report(data: Path) -> dict[str, Any] | None:
    """Read what the supervisor last wrote; None if it no longer runs."""
    import psutil

    try:
        report: dict[str, Any] = json.loads((data / "run" / "status.json").read_text())
        began_ms = psutil.Process(report["pid"]).create_time() * 1000
    except (FileNotFoundError, NotADirectoryError, ValueError, psutil.NoSuchProcess):
        return None
    return report if began_ms <= report["since"] + 1000 else None  # else its pid is somebody else's now


def running_settings(settings: "Settings", report: dict[str, Any]) -> "Settings":
    """Take the ports from what runs, not from how this command was called."""
    ports = {process["name"]: process["port"] for process in report["processes"]}
    changed: dict[str, Any] = {"api_port": ports["api"], "flow_url": ""}  # its flow is that of the data folder
    if "broker" in ports:
        changed["mqtt_port"] = ports["broker"]
    if "panel" in ports:  # not where an earlier build runs
        changed["panel_port"] = ports["panel"]
    return settings.model_copy(update=changed)


def as_it_runs(settings: "Settings") -> "Settings":
    """Take the ports from what `up` runs on the data folder; as they are set where it runs nothing."""
    report = read_report(settings.data)
    return settings if report is None else running_settings(settings, report)


def problem_of(process: dict[str, Any], settings: "Settings") -> str:
    """Ask a process of the report how it is; "" if it is well."""
    from flows.cli.checks import api_problem, flow_problem, own_broker_problem
    from flows.cli.demo import demo_problem
    from flows.cli.panel import panel_problem

    if process["pid"] is None:
        return "has ended"
    if process["name"] == "broker":
        return own_broker_problem(settings)
    if process["name"] == "demo":
        return demo_problem(settings)
    if process["name"] == "panel":
        return panel_problem(settings)
    return api_problem(settings) if process["name"] == "api" else flow_problem(settings)


def _shown(data: Path) -> str:
    return str(data) if data.is_absolute() else f"./{data}"


def _print(report: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    table = Table("process", "pid", "port", "since (UTC)", "restarts", "health")
    for process in report["processes"]:
        since = f"{datetime.fromtimestamp(process['since'] / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        pid, port = process["pid"] or "–", process["port"] or "private"
        health = "healthy" if process["healthy"] else process["problem"]
        table.add_row(process["name"], str(pid), str(port), since, str(process["restarts"]), health)
    Console().print(table)
