"""Every operation of the API, asked right and wrong, with a flow running behind it."""

import json

import pytest

from tests.api.conftest import api, filled  # noqa: F401 (fixtures)
from tests.fuzz.requests import attack
from tests.fuzz.site import site

pytestmark = pytest.mark.slow
EXAMPLES = 6


def test_no_request_meets_a_server_error_and_every_answer_is_as_documented(tmp_path, monkeypatch):
    monkeypatch.setattr("api.routes.pipeline.PATIENCE_S", 0.2)  # else each trace of a silent device takes 15 s
    with site(tmp_path) as (running, flow, known):
        sent = dict(attack(str(running.client.base_url), EXAMPLES, 1, known))
        operations = {
            f"{method.upper()} {path}"
            for path, methods in running.get("/openapi.json").json()["paths"].items()
            for method in methods
        }
        assert sent.keys() == operations
        assert min(sent.values()) > 0 and sum(sent.values()) > 10 * EXAMPLES, json.dumps(sent)
        assert flow.ask("/pipeline")["conservation"]["unexplained"] == 0


@pytest.mark.parametrize(
    "body", [b"\xff", b'{"by": "\xff"}', b"[" * 3000, b'{"by": ' + b"[" * 3000 + b"]" * 3000 + b"}"]
)
def test_a_body_that_no_parser_takes_is_unprocessable_by_name(api, body):  # noqa: F811
    answer = api.put("/api/devices/site1", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "body"), answer.text


@pytest.mark.parametrize("year", ["1900", "9000"])
def test_metadata_cannot_begin_before_1970_or_in_thousands_of_years(api, year):  # noqa: F811
    answer = api.put("/api/devices/site1", json={"valid_from": f"{year}-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["field"]) == (422, "valid_from"), answer.text
