"""The page at /docs: one plain HTML page made of openapi.json, because the usual viewers load from elsewhere."""

import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2, h3 { line-height: 1.3; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
code, pre, .path { font-family: ui-monospace, monospace; font-size: .9375rem; overflow-wrap: anywhere; }
.path { font-size: 1.0625rem; }
pre { overflow-x: auto; padding: .5rem .75rem; border: 1px solid #8886; }
nav ul { columns: 20rem; padding-left: 1.25rem; }
nav li { break-inside: avoid; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8883; }
@media (max-width: 40rem) {
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  tr { padding: .5rem 0; border-bottom: 1px solid #8886; }
  td { border: 0; padding: 0; }
  td:empty { display: none; }
  td::before { content: attr(data-head) ": "; opacity: .7; }
}
"""


def render(openapi: dict[str, Any]) -> str:
    """Show every operation (what it is for, takes and answers), then every shape they name."""
    info, shapes = openapi["info"], openapi["components"]["schemas"]
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{_text(info['description'])}</p>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>',
        f"<nav><h2>Routes</h2>{_index(name for name, _ in operations)}<h2>Shapes</h2>{_index(shapes)}</nav>",
        *(_operation(name, operation, shapes) for name, operation in operations),
        *(_shape(name, shape) for name, shape in shapes.items()),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>"
    )


def _index(names: Iterator[str] | dict[str, Any]) -> str:
    return f"<ul>{''.join(f'<li>{_link(name)}</li>' for name in names)}</ul>"


def _operation(name: str, operation: dict[str, Any], shapes: dict[str, Any]) -> str:
    parts = [f"{_heading(name)}<p>{_text(operation['description'])}</p>"]
    parameters = [_parameter(one) for one in operation.get("parameters", [])]
    parts.append(_table(("parameter", "in", "type", "default", "meaning", "example"), parameters))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, {_code(media)}: {_type(content['schema'])}</p>")
        parts.append(f"<pre>{escape(json.dumps(_example(content['schema'], shapes), indent=1))}</pre>")
    answers = [
        (escape(status), _contents(response), _text(response["description"]))
        for status, response in operation["responses"].items()
    ]
    parts.append(_table(("status", "answer", "meaning"), answers))
    return f"<section>{''.join(parts)}</section>"


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    schema = parameter["schema"]
    default = "required" if parameter.get("required") else _value(schema.get("default"))
    return (
        _code(parameter["name"]),
        parameter["in"],
        _type(schema),
        default,
        _text(parameter["description"]),
        _value(schema["examples"][0]),
    )


def _contents(response: dict[str, Any]) -> str:
    parts = []
    for media, content in response.get("content", {}).items():
        shape = content.get("schema")
        parts.append(_type(shape) if shape else _code(media))
    return " or ".join(parts)


def _shape(name: str, shape: dict[str, Any]) -> str:
    rows = [
        (_code(field), _type(one), _value(one.get("default")), _text(one.get("description", "")))
        for field, one in shape["properties"].items()
    ]
    table = _table(("field", "type", "default", "meaning"), rows)
    return f"<section>{_heading(name)}<p>{_text(shape.get('description', ''))}</p>{table}</section>"


def _example(schema: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    """Make a body of its fields' examples."""
    named = next(one["$ref"] for one in schema.get("anyOf", [schema]) if "$ref" in one)
    return {name: one["examples"][0] for name, one in shapes[_name(named)]["properties"].items()}


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return _link(_name(schema["$ref"]))
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return ", ".join(_value(one) for one in schema["enum"])
    if "prefixItems" in schema:
        return f"[{', '.join(_type(one) for one in schema['prefixItems'])}]"
    if "items" in schema:
        items = _type(schema["items"])
        return f"list of ({items})" if "anyOf" in schema["items"] else f"list of {items}"
    if isinstance(schema.get("additionalProperties"), dict):
        keys = _type(schema["propertyNames"]) if "propertyNames" in schema else "name"
        return f"{{{keys}: {_type(schema['additionalProperties'])}}}"
    return f"{schema.get('type', 'any')} {_limits(schema)}".strip()


def _limits(schema: dict[str, Any]) -> str:
    said = [
        f"{sign}\N{NO-BREAK SPACE}{schema[key]:g}"
        for sign, key in (("≥", "minimum"), (">", "exclusiveMinimum"), ("≤", "maximum"), ("<", "exclusiveMaximum"))
        if key in schema
    ]
    if "maxLength" in schema:
        said.append(f"{schema.get('minLength', 0)} … {schema['maxLength']} characters")
    return ", ".join(said)


def _name(ref: str) -> str:
    return ref.rsplit("/", 1)[-1]


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-").lower()


def _link(name: str) -> str:
    return f'<a href="#{_anchor(name)}">{escape(name)}</a>'


def _heading(name: str) -> str:
    return f'<h2 class="path" id="{_anchor(name)}">{escape(name)}</h2>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _value(value: object) -> str:
    return "" if value is None else _code(value if isinstance(value, str) and value else json.dumps(value))


def _text(text: str) -> str:
    """Escape a text; what stands in backticks is code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells of HTML; empty ones vanish where cells are stacked."""
    if not rows:
        return ""
    top = "".join(f"<th>{name}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(map(_cell, head, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(head: str, content: str) -> str:
    return f'<td data-head="{head}">{content}</td>'
