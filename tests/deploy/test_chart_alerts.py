"""The chart's alerts: Prometheus' own tool fires each of them by series, and none while all is well."""

import re
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy.chart import CHART, Object, of_kind, pods, render, selects
from tests.deploy.promtool import find

pytestmark = pytest.mark.slow

ROOT = CHART.parent.parent
EVERYTHING = CHART / "ci" / "everything-values.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"

FLOW = 'namespace="heating",service="hp-heat-pump-flow"'
API = 'namespace="heating",service="hp-heat-pump-api"'
MINUTES = 130
"""Length of a series: samples a minute apart."""

WELL = {
    f"up{{{FLOW}}}": "1+0x130",
    f"up{{{API}}}": "1+0x130",
    f"heatpump_mqtt_connected{{{FLOW}}}": "1+0x130",
    f"heatpump_mqtt_last_message_seconds{{{FLOW}}}": "3+0x130",
    f"heatpump_devices{{{FLOW}}}": "5+0x130",
    f"heatpump_journal_room_bytes{{{FLOW}}}": "9000+0x130",
    f"heatpump_journal_bytes{{{FLOW}}}": "1000+0x130",
    f"heatpump_journal_full{{{FLOW}}}": "0+0x130",
    f"heatpump_journal_damaged_regions{{{FLOW}}}": "0+0x130",
    f"heatpump_journal_missing_frames{{{FLOW}}}": "0+0x130",
    f"heatpump_journal_sync_seconds_sum{{{FLOW}}}": "0+0.3x130",
    f"heatpump_journal_sync_seconds_count{{{FLOW}}}": "0+60x130",
    f"heatpump_store_waiting_seconds{{{FLOW}}}": "0+0x130",
    f"heatpump_readings_dead_total{{{FLOW}}}": "0+1x130",
    f"heatpump_readings_received_total{{{FLOW}}}": "0+1000x130",
    f"heatpump_readings_unexplained{{{FLOW}}}": "0+0x130",
    'kubelet_volume_stats_available_bytes{namespace="heating",persistentvolumeclaim="data-hp-heat-pump-flow-0"}': "50+0x130",
    'kubelet_volume_stats_capacity_bytes{namespace="heating",persistentvolumeclaim="data-hp-heat-pump-flow-0"}': "100+0x130",
    f'heatpump_api_requests_total{{{API},status="200"}}': "0+100x130",
    f'heatpump_api_requests_total{{{API},status="503"}}': "0+1x130",
    'nginx_ingress_controller_ssl_expire_time_seconds{host="heatpumps.example.org"}': "5000000+0x130",
    'kube_cronjob_status_last_successful_time{namespace="heating",cronjob="hp-heat-pump-backup"}': "0+0x130",
}
"""One reading a second in a thousand refused, one request in a hundred failed, … : nothing to be woken for."""

ILL: dict[str, dict[str, str]] = {
    "HeatPumpFlowDown": {f"up{{{FLOW}}}": "0+0x130"},
    "HeatPumpNotConnected": {f"heatpump_mqtt_connected{{{FLOW}}}": "0+0x130"},
    "HeatPumpSilence": {f"heatpump_mqtt_last_message_seconds{{{FLOW}}}": "0+60x130"},
    "HeatPumpJournalNearlyFull": {f"heatpump_journal_room_bytes{{{FLOW}}}": "200+0x130"},
    "HeatPumpJournalFull": {f"heatpump_journal_full{{{FLOW}}}": "1+0x130"},
    "HeatPumpJournalDamaged": {f"heatpump_journal_missing_frames{{{FLOW}}}": "2+0x130"},
    "HeatPumpSyncSlow": {f"heatpump_journal_sync_seconds_sum{{{FLOW}}}": "0+30x130"},
    "HeatPumpStoreWaiting": {f"heatpump_store_waiting_seconds{{{FLOW}}}": "0+60x130"},
    "HeatPumpDeadLetters": {f"heatpump_readings_dead_total{{{FLOW}}}": "0+50x130"},
    "HeatPumpUnexplained": {f"heatpump_readings_unexplained{{{FLOW}}}": "-1+0x130"},
    "HeatPumpDiskFull": {
        'kubelet_volume_stats_available_bytes{namespace="heating",persistentvolumeclaim="data-hp-heat-pump-flow-0"}': "5+0x130"
    },
    "HeatPumpApiDown": {f"up{{{API}}}": "_x130"},
    "HeatPumpApiErrors": {f'heatpump_api_requests_total{{{API},status="503"}}': "0+10x130"},
    "HeatPumpCertificateExpiring": {
        'nginx_ingress_controller_ssl_expire_time_seconds{host="heatpumps.example.org"}': "900000+0x130"
    },
    "HeatPumpBackupFailed": {
        'kube_job_status_failed{namespace="heating",job_name="hp-heat-pump-backup-1"}': "1+0x130"
    },
}

ELSEWHERE = re.compile(r"up|kube(let)?_.*|nginx_ingress_controller_.*|certmanager_.*")
"""Metrics that are not ours."""


def groups() -> list[Object]:
    rule = of_kind(render(EVERYTHING), "PrometheusRule")[0]
    found: list[Object] = rule["spec"]["groups"]
    return found


def alerts() -> dict[str, Object]:
    return {each["alert"]: each for group in groups() for each in group["rules"]}


def test_every_alert_is_fired_here() -> None:
    assert alerts().keys() == ILL.keys()


def test_promtool_fires_each_alert_by_its_series_and_none_while_all_is_well(tmp_path: Path) -> None:
    program = find()
    if isinstance(program, str):
        pytest.skip(program)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups()}))
    tests = [_case("well", WELL, None), *(_case(name, {**WELL, **series}, name) for name, series in ILL.items())]
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}, sort_keys=False)
    )
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "test.yml"]):
        done = subprocess.run([program, *command], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr


def _case(name: str, series: dict[str, str], fired: str | None) -> dict[str, Any]:
    """What promtool shall find after two hours: this alert alone. Its labels are asked for by an expression."""
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    expected = [{"labels": f'{{alertname="{fired}"}}', "value": 1}] if fired else []
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{MINUTES - 5}m", "exp_samples": expected}],
    }


def test_every_metric_of_an_alert_is_documented_and_every_expression_is_sound() -> None:
    documented = set(re.findall(r"`(heatpump_[a-z_]+)`", (ROOT / "docs/reference/metrics.md").read_text()))
    assert documented
    for name, each in alerts().items():
        promql_parser.parse(each["expr"])
        used = set(re.findall(r"\b([a-z_]+)\{", each["expr"])) | {
            word for word in re.findall(r"\bkubelet_[a-z_]+", each["expr"])
        }
        ours = {metric for metric in used if not ELSEWHERE.fullmatch(metric)}
        unknown = {
            metric for metric in ours if not {metric, re.sub(r"_(sum|count|bucket)$", "", metric)} & documented
        }
        assert not unknown, (name, unknown)


def test_every_alert_has_a_page_of_its_name_and_every_page_an_alert() -> None:
    pages = {}
    for name, each in alerts().items():
        address = each["annotations"]["runbook_url"]
        page = RUNBOOKS / address.removeprefix("https://docs.example.org/runbooks/")
        assert page.read_text().startswith(f"# {name}\n")
        pages[page] = name
        assert each["labels"]["severity"] in ("warning", "critical") and each["annotations"]["summary"].endswith(
            "."
        )
    assert set(pages) == set(RUNBOOKS.glob("*.md"))


def test_without_an_address_alerts_name_the_page_in_the_repository() -> None:
    objects = render(EVERYTHING, "1.35.0", "--set", "monitoring.rules.runbooks=")
    for each in of_kind(objects, "PrometheusRule")[0]["spec"]["groups"][0]["rules"]:
        assert (ROOT / each["annotations"]["runbook"]).exists()


def test_service_monitors_find_a_service_whose_port_answers_metrics_with_the_metrics_token() -> None:
    objects = render(EVERYTHING)
    monitors = of_kind(objects, "ServiceMonitor")
    assert len(monitors) == 2
    for monitor in monitors:
        found = [
            each
            for each in of_kind(objects, "Service")
            if selects(each["metadata"]["labels"], monitor["spec"]["selector"])
        ]
        assert len(found) == 1, "two services would be asked twice"
        endpoint = monitor["spec"]["endpoints"][0]
        assert endpoint["port"] in {port["name"] for port in found[0]["spec"]["ports"]}
        assert endpoint["authorization"]["credentials"] == {"name": "heat-pump", "key": "HEATPUMP_METRICS_TOKEN"}
    assert {pod.part for pod in pods(objects)} >= {"flow", "api"}
