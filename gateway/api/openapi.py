"""Complete the OpenAPI document with the bodies that routes read themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema


def install(app: FastAPI, bodies: list[type[BaseModel]]) -> None:
    """Make `/openapi.json` describe *bodies* and the bearer key beside what FastAPI knows."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, bodies)
            public_url = app.state.settings.public_url
            if public_url is not None:
                app.openapi_schema["servers"] = [{"url": public_url.rstrip("/")}]
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI, bodies: list[type[BaseModel]]) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, definitions = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}]
            _only_problems(operation)
    return schema


def _only_problems(operation: dict[str, Any]) -> None:
    """Errors are `application/problem+json` and nothing else; FastAPI adds its own 422 and a second media type."""
    for answer in operation.get("responses", {}).values():
        content = answer.get("content", {})
        problem = content.get("application/problem+json")
        if problem is not None and "application/json" in content:
            content["application/problem+json"] = content.pop("application/json")
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith("/HTTPValidationError"):
            content.clear()
            content["application/problem+json"] = {"schema": {"$ref": "#/components/schemas/Problem"}}
