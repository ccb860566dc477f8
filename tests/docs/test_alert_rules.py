"""The alert rules of the metrics page: Prometheus takes them, and every metric they ask for is told."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "metrics.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SUFFIX = r"_(bucket|sum|count)$"


def rules() -> list[dict]:
    (text,) = [block for block in BLOCKS if block.startswith("groups:")]
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def test_every_rule_asks_for_metrics_that_are_told_and_says_what_is_wrong():
    told = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) ", PAGE, re.MULTILINE))
    assert len(rules()) >= 10
    for rule in rules():
        asked = {re.sub(SUFFIX, "", name) for name in re.findall(r"\bheatpump_\w+", rule["expr"])}
        assert asked <= told, rule["alert"]
        assert asked or "up{" in rule["expr"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["for"]


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)
def test_prometheus_itself_takes_rules_and_configuration(tmp_path):
    for block, command in zip(BLOCKS, ("config", "rules"), strict=True):
        (tmp_path / "file.yml").write_text(block)
        done = subprocess.run(
            [
                "promtool",
                "check",
                command,
                *(["--syntax-only"] if command == "config" else []),
                tmp_path / "file.yml",
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
