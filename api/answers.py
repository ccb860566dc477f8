"""Bodies: JSON straight from msgspec (large arrays pass no model), and CSV sent page by page."""

import csv
from collections.abc import Iterator
from io import StringIO
from itertools import chain
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response, StreamingResponse

Table = Iterator[list[list[object]]]
Documented = dict[int | str, dict[str, Any]]
"""What OpenAPI is told of a route's answers, by status."""


def json(answer: object, status: int = 200) -> Response:
    """Encode an answer."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def wants_csv(request: Request, asked: str | None) -> bool:
    """Tell whether a client wants CSV: by ?format=csv, or by its Accept header."""
    return asked == "csv" or (asked is None and "text/csv" in request.headers.get("accept", ""))


def csv_file(table: Table, name: str) -> Response:
    """Send a table as it is read. Its first rows are read at once, so that their errors still have a status."""
    head = [next(table), next(table, [])]
    return StreamingResponse(
        map(_lines, chain(head, table)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def next_page(request: Request, **changed: object) -> dict[str, str]:
    """Name the next page: this request's address with other parameters (RFC 8288)."""
    url = request.url.include_query_params(**{name: str(value) for name, value in changed.items()})
    return {"Link": f'<{url.replace(scheme="https") if is_https(request) else url}>; rel="next"'}


def is_https(request: Request) -> bool:
    """Tell whether the client asked by TLS: from us or the proxy before us. Who lies misleads itself alone."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _lines(rows: list[list[object]]) -> str:
    text = StringIO()
    csv.writer(text).writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
