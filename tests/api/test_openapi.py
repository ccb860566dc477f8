"""The interface describes itself: OpenAPI, /docs, docs/reference/api.md."""

import re
from pathlib import Path

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
    assert len(names) == len(set(names)) == 16


def test_every_field_of_a_body_has_a_description(api):
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for model in ("Metadata", "Acknowledgement"):
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
        assert f">{name}<" in answer.text
        for parameter in operation.get("parameters", []):
            assert f"<td>{parameter['name']}</td>" in answer.text
    assert re.findall(r"""(?:src|href)=["']([^"']*)""", answer.text) == ["/openapi.json"]
    assert "<script" not in answer.text


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
