"""Write errors so that each version of Uppy shows them.

Version 5 shows the `message` of a 4xx. Version 6 shows only the status text, which HTTP/2 does not have, so the status
is chosen by its standard text (413, 415). In its S3 mode version 6 shows the code of an S3 error, which holds the whole
sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from xml.sax.saxutils import escape

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.problems import problem_response, status_of
from gateway.domain.errors import GatewayError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


class CompanionRoute(APIRoute):
    """Add Companion's own words to problems."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except GatewayError as error:
                error.fields |= {"error": f"s3: {error.detail}", "message": error.detail}
                raise

        return answer


class S3Route(APIRoute):
    """Answer errors in S3's XML."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except GatewayError as error:
                return _xml_error(error)

        return answer


def _xml_error(error: GatewayError) -> Response:
    as_problem = problem_response(error)
    headers = {
        name: value for name, value in as_problem.headers.items() if name not in ("content-type", "content-length")
    }
    # Uppy shows this header, or the element Code, and nothing else of the answer.
    headers["x-amz-error-code"] = error.detail.encode("ascii", "replace").decode()[:500]
    code = "".join(word.capitalize() for word in error.code.split("_"))
    body = f"{XML_DECLARATION}<Error><Code>{code}</Code><Message>{escape(error.detail)}</Message></Error>"
    return Response(body.encode(), status_of(error), headers=headers, media_type="application/xml")
