"""What is said of our own processes."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from flows.cli.checks import api_problem
from flows.settings import load_settings
from tests.influx.recorded import proxy


def test_an_api_that_is_not_well_is_told_with_its_first_reason(tmp_path: Path) -> None:
    told = "the store does not answer: InfluxDB does not answer: Read timed out; see `heatpump doctor`"
    body = json.dumps({"status": "unhealthy", "problems": [told, "another"]})
    with proxy(503, body) as address:
        settings = load_settings(data=tmp_path, api_port=urlsplit(address.url).port)
        assert (
            api_problem(settings)
            == "is unhealthy: the store does not answer: InfluxDB does not answer: Read timed out"
        )
