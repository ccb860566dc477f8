"""Requests drawn from the API's own OpenAPI document (schemathesis), right and wrong ones, and what must hold of answers."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import schemathesis
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WORDS = ("must", "need", "allowed", "required", "missing", "there are", "exists in", "lists them")
"""One of these stands in a sentence that says what would be right."""


def attack(base_url: str, examples: int, seed: int, path_parameters: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Send `examples` requests of each mode to every operation; gives each operation's name and how many were sent.

    path_parameters : values that something is known of, tried beside drawn ones.
    Raises what schemathesis raises where an answer is not as documented, AssertionError where a 422 says too little.
    """
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    modes = [
        (GenerationMode.POSITIVE, path_parameters),
        (GenerationMode.POSITIVE, {}),
        (GenerationMode.NEGATIVE, path_parameters),
    ]
    for found in schema.get_all_operations():
        operation = found.ok()
        sent = 0
        for mode, known in modes:
            wanted = {name: known[name] for name in known if f"{{{name}}}" in operation.path}
            if known and not wanted and "{" in operation.path:
                continue
            sent += _try(operation.as_strategy(mode, path_parameters=wanted or None), examples, seed)
        yield operation.label, sent


def _try(cases: Any, examples: int, seed: int) -> int:
    sent = 0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases)
    def one(case: Case) -> None:
        nonlocal sent
        sent += 1
        answer = case.call(timeout=60)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code == 422:
            detail = answer.json()["detail"]
            assert any(word in str(detail) for word in WORDS), f"{case.as_curl_command()}: {detail}"

    try:
        one()
    except hypothesis.errors.Unsatisfiable:
        pass  # nothing can be wrong with an operation that takes nothing
    return sent
