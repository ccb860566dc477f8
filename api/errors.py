"""Our errors as answers: each mapped here, once."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api import answers
from api.guard import ACCOUNT
from api.health import without_places
from flows.errors import BadQuery, FlowDown, Forbidden, NotFound, StoreError, in_our_words

MOST_BODY = 64 * 1024
"""As much as the flow's port takes of a command. [bytes]"""

_RETRY = {"Retry-After": "2"}


def add_handlers(app: FastAPI) -> None:
    """Teach the app to answer our errors."""
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(Forbidden, _forbidden)
    app.add_exception_handler(BadQuery, _bad_query)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(StoreError, _away)
    app.add_exception_handler(FlowDown, _away)


def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 404)


def _forbidden(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 403)


def _away(request: Request, error: Exception) -> Response:
    """Say what is away; where, only to who may see all devices."""
    account = request.scope.get(ACCOUNT)
    said = str(error) if account is not None and account.has_all else without_places(str(error))
    return JSONResponse({"detail": said}, 503, _RETRY)


def _bad_query(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadQuery)
    return _unprocessable(error.name, error.value, error.allowed)


def _not_valid(request: Request, error: Exception) -> Response:
    """Name the first field that is wrong, its value and what it may be."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        return _unprocessable("body", None, f"must be JSON ({first['ctx']['error']})")
    if isinstance(first.get("input"), bytes):
        return _unprocessable("Content-Type", request.headers.get("content-type"), "must be application/json")
    if first["type"] in ("model_attributes_type", "dict_type"):
        first["msg"] = "must be a JSON object"
    elif first["type"] == "missing":
        first["msg"] = "is required"
    where = [str(part) for part in first["loc"] if part not in ("query", "path", "body", "header")]
    return _unprocessable(".".join(where) or "body", first.get("input"), in_our_words(first["msg"]))


async def _refused(request: Request, error: Exception) -> Response:
    """Name what FastAPI could not parse, such as what is no UTF-8: it answers 400 and says no more."""
    assert isinstance(error, HTTPException)
    if error.status_code == 413:
        return JSONResponse({"detail": f"the body is too large; at most {MOST_BODY} bytes are taken"}, 413)
    if error.status_code == 400 and error.__cause__ is not None:
        return _unprocessable("body", None, "must be JSON in UTF-8, not nested beyond reason")
    return await http_exception_handler(request, error)


def _unprocessable(field: str, value: object, allowed: str) -> Response:
    shown = value if isinstance(value, str | int | float | bool | None) else repr(value)[:200]
    body = {"detail": f"{field}: {shown!r} {allowed}", "field": field, "value": shown, "allowed": allowed}
    return answers.json({name: _sendable(part) for name, part in body.items()}, 422)


def _sendable(value: object) -> object:
    """Escape half a surrogate pair, which JSON may send and UTF-8 cannot."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
