"""Serve Swagger UI at /docs in development, from files of the package `fastapi-offline`: no request to another host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from gateway.settings import Settings

FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


def routes(settings: Settings) -> APIRouter:
    """Return the routes of the page; none in production or without the package."""
    router = APIRouter(include_in_schema=False)
    package = find_spec("fastapi_offline")
    if settings.upload_page != "open" or package is None or package.origin is None:
        return router
    folder = Path(package.origin).parent / "static"

    async def page() -> HTMLResponse:
        script, style, icon = (f"docs/{name}" for name in FILES)
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Upload gateway",
            swagger_js_url=script,
            swagger_css_url=style,
            swagger_favicon_url=icon,
        )

    router.add_api_route("/docs", page, methods=["GET"])
    for name in FILES:
        router.add_api_route(f"/docs/{name}", _asset(folder / name), methods=["GET"])
    return router


def _asset(file: Path) -> Callable[[], Awaitable[FileResponse]]:
    async def serve() -> FileResponse:
        return FileResponse(file)

    return serve
