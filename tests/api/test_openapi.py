"""The API's own description of itself."""

from __future__ import annotations

import json
from typing import Any

from openapi_spec_validator import validate

from tests.openapi_document import PATH, document, text

METHODS = {"get", "put", "post", "delete"}


def _operations() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_committed_document_is_the_codes() -> None:
    """A change of the API shows in docs/openapi.json; `make openapi` writes it."""
    assert json.loads(PATH.read_text()) == json.loads(text())


def test_the_document_is_openapi() -> None:
    """The document is valid by OpenAPI's own schema."""
    validate(document())


def test_every_route_of_the_api_describes_its_errors() -> None:
    """Routes that need a key describe 401, and every error answer is a problem."""
    for name, operation in _operations():
        answers = operation["responses"]
        if "/v1/" in name:
            assert "401" in answers or "/events" in name or "/ws" in name, name
            assert operation["security"], name
        for status, answer in answers.items():
            if status >= "400" and "/v1/" in name:
                assert set(answer.get("content", {})) <= {"application/problem+json"}, (name, status)


def test_every_body_is_described() -> None:
    """Routes that read JSON name its schema, and the schema is there."""
    schemas = document()["components"]["schemas"]
    for name, operation in _operations():
        for media in operation.get("requestBody", {}).get("content", {}).values():
            reference = media["schema"].get("$ref", "")
            if reference:
                assert reference.rsplit("/", 1)[1] in schemas, name
