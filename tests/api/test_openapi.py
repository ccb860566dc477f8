"""The interface describes itself: OpenAPI, /docs, docs/reference/api.md."""

import re
from pathlib import Path

import pytest

from api.routes.ws import router

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"


def operations(api):
    spec = api.get("/openapi.json").json()
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_parameter_has_a_description_and_an_example(api):
    walked = 0
    for name, operation in operations(api):
        for parameter in operation.get("parameters", []):
            where = f"{name} {parameter['name']}"
            assert parameter.get("description"), where
            assert parameter["schema"].get("examples"), where
            walked += 1
    assert walked > 30


def test_every_operation_says_what_it_does_and_has_a_model_of_its_answer(api):
    names = []
    for name, operation in operations(api):
        names.append(name)
        assert operation["description"], name
        assert operation["responses"]["200"]["content"]["application/json"]["schema"], name
    assert len(names) == len(set(names)) == 24


def test_every_field_of_a_body_has_a_description(api):
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for model in ("Metadata", "Acknowledgement", "Attribution"):
        for name, field in schemas[model]["properties"].items():
            assert field.get("description"), f"{model}.{name}"
            assert field.get("examples"), f"{model}.{name}"


def test_quantities_are_described_with_their_units(api):
    fields = api.get("/openapi.json").json()["components"]["schemas"]["Reading"]["properties"]
    assert fields["temp_inlet"]["description"] == "Return water [°C]"
    assert fields["flow_rate"]["description"] == "Water flow [L/min]"


def test_the_docs_page_shows_every_operation_and_loads_nothing_from_elsewhere(api):
    answer = api.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for name, operation in operations(api):
        assert f">{name}</h2>" in answer.text
        for parameter in operation.get("parameters", []):
            assert f"<code>{parameter['name']}</code></td>" in answer.text
    links = set(re.findall(r"""(?:src|href)=["']([^"']*)""", answer.text))
    anchors = re.findall(r'id="([^"]*)"', answer.text)
    assert len(set(anchors)) == len(anchors) > 30
    assert links == {"/openapi.json", *(f"#{anchor}" for anchor in anchors)}
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    "shown",
    [
        'list of <a href="#device">Device</a>',
        '<a href="#series">Series</a> or <code>text/csv</code>',
        '{name: {<code>low</code>, <code>high</code>: <a href="#bound">Bound</a>}}',
        '{name: <a href="#thresholds">Thresholds</a>}',
        "list of [string, string]",
        "list of (number or boolean or null)",
        "integer ≥\N{NO-BREAK SPACE}1, ≤\N{NO-BREAK SPACE}168",
        "string 1 … 100 characters",
        "&quot;refrigerant&quot;: &quot;R290&quot;",
        "<code>Authorization: Bearer &lt;token&gt;</code>",
    ],
)
def test_the_docs_page_says_shapes_limits_and_examples(api, shown):
    assert shown in api.get("/docs").text


def test_a_real_422_has_the_documented_shape(api):
    spec = api.get("/openapi.json").json()
    for path in ("/api/devices/{device_id}/readings", "/api/alerts", "/api/dead-letters"):
        answer = api.get(path.format(device_id="site1"), params={"limit": 5000})
        assert answer.status_code == 422
        documented = spec["paths"][path]["get"]["responses"]["422"]["content"]["application/json"]["schema"]
        shape = spec["components"]["schemas"][documented["$ref"].rsplit("/", 1)[-1]]
        assert set(answer.json()) == set(shape["properties"])
    assert "HTTPValidationError" not in api.get("/openapi.json").text


def test_what_the_guard_refuses_is_documented(api):
    spec = api.get("/openapi.json").json()
    assert spec["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for name, operation in operations(api):
        is_open = name in ("GET /", "GET /api/health")
        statuses = set(operation["responses"])
        assert "421" in statuses, name
        assert ("401" in statuses) is ("security" in operation) is (not is_open), name
        assert ("403" in statuses) is (not is_open), name
        assert operation["responses"]["200"]["description"] != "Successful Response", name


def test_every_route_is_in_the_reference(api):
    text = PAGE.read_text()
    for name, operation in operations(api):
        assert f"`{name}`" in text, name
        for parameter in operation.get("parameters", []):
            assert f"`{parameter['name']}`" in text, f"{name}: {parameter['name']}"


def test_every_websocket_is_in_the_reference():
    paths = [route.path for route in router.routes]
    assert sorted(paths) == ["/api/ws", "/ws"]
    for path in paths:
        assert f"`{path}`" in PAGE.read_text()
