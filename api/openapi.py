"""What OpenAPI is told beyond the routes: our own 422, what the guard refuses, and a store that is away."""

from typing import Any

from fastapi import FastAPI

from api.guard import OPEN_PATHS, SAFE_METHODS
from flows.access.sessions import COOKIE

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Of `heatpump token add`, HEATPUMP_API_TOKEN, or what stands in <data>/secrets/api-token; not"
    " asked for on loopback.",
}
_SESSION = {
    "type": "apiKey",
    "in": "cookie",
    "name": COOKIE,
    "description": "Of who logged in at /login; its content may be sent as a bearer token, too.",
}


class DescribedApp(FastAPI):
    """An app whose OpenAPI is complete."""

    def openapi(self) -> dict[str, Any]:
        """Give it, made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def _complete(spec: dict[str, Any]) -> None:
    components = spec["components"]
    components["securitySchemes"] = {"token": _TOKEN, "session": _SESSION}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if path not in OPEN_PATHS:
                operation["security"] = [{"token": []}, {"session": []}, {}]
            responses = {**_refusals(path, method), **operation["responses"]}
            if responses["200"]["description"] == "Successful Response":
                responses["200"]["description"] = "The answer."
            if "422" in responses:
                responses["422"] = _problem("What cannot be: which field, its value, what is allowed.")
            operation["responses"] = dict(sorted(responses.items()))


def _refusals(path: str, method: str) -> dict[str, Any]:
    refusals = {"421": _problem("A host name that is not served on loopback.")}
    if method.upper() not in SAFE_METHODS:
        refusals["403"] = _problem(
            "Sent by a web page of an origin that is not allowed; or more than the token or user may."
        )
        refusals["413"] = _problem("A body of more than 64 kB.")
    elif path not in OPEN_PATHS:
        refusals["403"] = _problem("More than the token or user may.")
    if path not in OPEN_PATHS:
        refusals["401"] = _problem("No token or session, or none that is taken; on loopback none is asked for.")
        refusals["503"] = _problem("The store is away; Retry-After says when to ask again.")
    return refusals


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
