"""The page at /docs: one plain HTML page made of openapi.json, because the usual viewers load from elsewhere."""

from collections.abc import Sequence
from html import escape
from typing import Any

CONTENT_SECURITY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
code, .path { font-family: ui-monospace, monospace; }
.path { font-size: 1.05rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8883; }
"""


def render(openapi: dict[str, Any]) -> str:
    """Show every operation: what it is for, what it takes, what it answers."""
    info = openapi["info"]
    body = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>',
    ]
    schemas = openapi.get("components", {}).get("schemas", {})
    for path, operations in openapi["paths"].items():
        body += [_operation(path, method, one, schemas) for method, one in operations.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    text = escape(operation.get("description", operation.get("summary", "")))
    parts = [f'<section><h2 class="path">{method.upper()} {escape(path)}</h2><p>{text}</p>']
    parameters = [_parameter(one) for one in operation.get("parameters", [])]
    parts.append(_table(("parameter", "in", "type", "default", "meaning", "example"), parameters))
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        parts.append(_fields("body field", media["schema"], schemas))
    for status, response in operation["responses"].items():
        parts.append(f"<h3>{escape(status)}</h3><p>{escape(response.get('description', ''))}</p>")
        for media in response.get("content", {}).values():
            parts.append(_fields("field", media.get("schema", {}), schemas))
    return "".join(parts) + "</section>"


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    schema = parameter["schema"]
    examples = schema.get("examples") or [""]
    default = "" if "default" not in schema else str(schema["default"])
    return (
        parameter["name"],
        parameter["in"],
        _type(schema),
        default,
        parameter.get("description", ""),
        str(examples[0]),
    )


def _fields(title: str, schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    found = _resolve(schema, schemas)
    rows = [(name, _type(one), one.get("description", "")) for name, one in found.get("properties", {}).items()]
    intro = f"<p>{escape(found.get('description', ''))}</p>" if rows else ""
    return intro + _table((title, "type", "meaning"), rows)


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "array":
        return _resolve(schema["items"], schemas)
    for one in schema.get("anyOf", [schema]):
        if "$ref" in one:
            found: dict[str, Any] = schemas[one["$ref"].rsplit("/", 1)[-1]]
            return found
    return schema


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "enum" in schema:
        return ", ".join(repr(one) for one in schema["enum"])
    limits = [str(schema[key]) for key in ("minimum", "exclusiveMinimum") if key in schema]
    limits += [str(schema[key]) for key in ("maximum",) if key in schema]
    name = schema.get("const") or schema.get("type", "any")
    if name == "array" and "items" in schema:
        name = f"list of {_type(schema['items'])}"
    return f"{name} {' … '.join(limits)}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'
