"""heatpump doctor: what is wrong with this machine, or on the way of a device's readings, and what to do."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.finding import Finding
from flows.cli.options import Data, checked_device
from flows.cli.words import printable

if TYPE_CHECKING:
    from flows.queries.walk import Walk
    from flows.settings import Settings


def doctor(
    device: Annotated[
        str | None, typer.Option(help="Follow this device's readings from the broker to the page instead.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    data: Data = None,
) -> int:
    """Look for what is wrong and say what to do.

    Changes nothing; may run beside `heatpump up`. Reads the whole journal: some seconds a gigabyte. With --device
    it goes from link to link (broker, connected, message, decoded, stored, shown) to the first broken one. Exit
    code 1 if something is wrong.

    Examples:
      heatpump doctor

      heatpump doctor --device site1
    """
    from flows.settings import load_settings

    settings = load_settings(data=data)
    if device is not None:
        return _follow(settings, checked_device("--device", device), as_json)
    findings = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            _print(finding)
    well = all(finding.state != "wrong" for finding in findings)
    if as_json:
        found = [{**finding._asdict(), "state": finding.state} for finding in findings]
        for line in found:
            del line["mere"]
        typer.echo(json.dumps({"well": well, "findings": found}))
    return int(not well)


def examine(settings: "Settings") -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    from flows.cli import findings_machine as machine
    from flows.cli.findings_broker import accounts, broker
    from flows.cli.findings_influx import influxdb
    from flows.cli.findings_store import Stored, journal_of, open_store, store_of
    from flows.cli.status import read_report, running_settings

    yield machine.python()
    yield from machine.data_folder(settings)
    report = read_report(settings.data)
    alone: dict[str, str] = {}
    if report is None:
        alone = _running_alone(settings)
        yield from machine.ports(settings, {f"--{name}-port" for name in alone})
    else:
        settings = running_settings(settings, report)
    is_own = report is not None and any(process["name"] == "broker" for process in report["processes"])
    if is_own or settings.mqtt_broker:
        yield from broker(settings, is_own)
    yield from accounts(settings)
    yield from _processes(settings, report, alone)
    ticking = _ticks(settings)
    is_there = (yield from influxdb(settings)) if settings.influxdb_url else True
    store = open_store(settings) if is_there else None
    journal, findings = journal_of(settings)
    yield from findings
    yield from machine.clock(journal.last_arrived if journal else None, ticking)
    if store is not None:
        yield store_of(store, journal) if isinstance(store, Stored) else store


def _running_alone(settings: "Settings") -> dict[str, str]:
    """Ask what may run without `up`, each by itself; what is wrong with those that answer, "" if nothing."""
    from flows.cli.checks import api_problem, flow_health, flow_problem
    from flows.cli.panel import panel_problem
    from flows.errors import FlowDown

    found = {}
    try:
        flow_health(settings)
        found["flow"] = flow_problem(settings)
    except FlowDown as error:
        if settings.flow_url:
            found["flow"] = error.why
    for name, problem in (("api", api_problem(settings)), ("panel", panel_problem(settings))):
        if not problem.startswith("does not answer"):
            found[name] = problem
    return found


def _processes(settings: "Settings", report: dict[str, Any] | None, alone: dict[str, str]) -> Iterator[Finding]:
    from flows.cli.status import problem_of

    for name, problem in alone.items():
        yield Finding(name, problem or "healthy", "See what it logged." if problem else "")
    if report is None:
        if not alone:
            yield Finding("processes", "nothing runs; `heatpump up` starts it")
        return
    for process in report["processes"]:
        name, problem = process["name"], problem_of(process, settings)
        remedy = f"See {settings.data / 'logs' / name}.log." if problem else ""
        if name != "broker" or problem:
            yield Finding(name, problem or "healthy", remedy)


def _ticks(settings: "Settings") -> bool:
    """Tell whether the flow journals seconds."""
    from flows.cli.checks import flow_health
    from flows.errors import FlowDown

    try:
        return (flow_health(settings).get("subscribed_s") or 0) > 1
    except FlowDown:
        return False


def _print(finding: Finding) -> None:
    typer.echo(printable(f"{finding.state:<5} {finding.subject}: {finding.found}"))
    if finding.remedy:
        typer.echo(f"      {printable(finding.remedy)}")


def _follow(settings: "Settings", device_id: str, as_json: bool) -> int:
    """Walk from the broker to the page."""
    import msgspec

    found = _walk(settings, device_id)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return int(found.broken is not None)
    typer.echo(printable(found.sentence))
    for link in found.links:
        mark = {"ok": "ok", "broken": "broken", "unknown": "?"}[link.state]
        typer.echo(printable(f"  {mark:<7} {link.link:<10} {link.detail}".rstrip()))
    if found.remedy:
        typer.echo(printable(found.remedy))
    return int(found.broken is not None)


def _walk(settings: "Settings", device_id: str) -> "Walk":
    from contextlib import closing

    from flows.cli.checks import api_problem
    from flows.cli.status import as_it_runs
    from flows.flow_port import FlowPort
    from flows.model.times import now_ms
    from flows.queries.walk import walk
    from flows.queries.walk_facts import look, system_of
    from flows.store import open_reader

    settings = as_it_runs(settings)
    problem = api_problem(settings)
    shown = f"the API {problem}" if problem else ""
    system = system_of(FlowPort(settings), None, settings.simulator_options, shown)
    with closing(open_reader(settings.store)) as reader:
        return walk(device_id, *look(reader, device_id, system, now_ms(), settings.online_timeout_s * 1000))
