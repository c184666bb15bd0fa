"""Translate watching into event streams and WebSockets, which carry the same messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, WebSocket
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gateway.api.answers import json_response
from gateway.api.event_streams import EventStream, serve_socket
from gateway.api.problems import problem_response, responses
from gateway.api.rate_limits import count_key, count_token, strangers_counted
from gateway.api.requests import gateway_of, principal_of, require_page, settings_of, upload_id_of
from gateway.domain.errors import Forbidden, GatewayError, Invalid
from gateway.domain.events import Position
from gateway.domain.origins import OriginRules
from gateway.domain.principal import Principal, require_key
from gateway.watching.tickets import make_ticket, use_ticket
from gateway.watching.watch import require_valid_credentials, watch_tenant, watch_upload

router = APIRouter(prefix="/v1", tags=["watching"])
Caller = Annotated[Principal, Depends(principal_of)]
AfterQuery = Annotated[
    str | None, Query(description="Go on behind this event; the header Last-Event-ID says the same and counts more.")
]
TicketQuery = Annotated[str | None, Query(description="One-use ticket, for those who cannot set a header.")]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events as they happen: created, uploading, progress, completing, validating, ready, rejected, "
        "aborted, expired; `closed` says why the stream ends early.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class Ticket(BaseModel):
    """What opens one stream, once."""

    ticket: str = Field(description="Give it as `?ticket=` to the event stream or the WebSocket.")
    expires_at: datetime


@router.post("/uploads/{upload_id}/ticket", status_code=201, response_model=Ticket, responses=responses(401, 404, 503))
async def make_upload_ticket(request: Request, caller: Caller, upload_id: str) -> Response:
    """Get a ticket that opens one event stream or WebSocket of an upload, once and soon."""
    return await _ticket(request, caller, upload_id_of(upload_id))


@router.post("/ticket", status_code=201, response_model=Ticket, responses=responses(401, 403, 503))
async def make_tenant_ticket(request: Request, caller: Caller) -> Response:
    """Get a ticket that opens one event stream or WebSocket of all your uploads, once and soon."""
    return await _ticket(request, require_key(caller), None)


@router.get(
    "/uploads/{upload_id}/events",
    response_class=Response,
    responses=responses(401, 404, 422, 429, 503)
    | _STREAM
    | {204: {"description": "Nothing will come any more; an EventSource stops asking."}},
)
async def upload_events(
    request: Request, upload_id: str, ticket: TicketQuery = None, last_event_id: AfterQuery = None
) -> Response:
    """Watch an upload until it is final."""
    identity, after = upload_id_of(upload_id), _after(request, last_event_id)
    principal = await _watcher(request, ticket, identity)
    watch = watch_upload(gateway_of(request), principal, identity, after)
    return EventStream(gateway_of(request), principal, watch, settings_of(request).stream_heartbeat_seconds)


@router.get("/events", response_class=Response, responses=responses(401, 403, 422, 429, 503) | _STREAM)
async def tenant_events(request: Request, ticket: TicketQuery = None, last_event_id: AfterQuery = None) -> Response:
    """Watch all your uploads; without a last event id, from now on."""
    after = _after(request, last_event_id)
    principal = require_key(await _watcher(request, ticket, None))
    watch = watch_tenant(gateway_of(request), principal, after)
    return EventStream(gateway_of(request), principal, watch, settings_of(request).stream_heartbeat_seconds)


@router.websocket("/uploads/{upload_id}/ws")
async def upload_socket(
    websocket: WebSocket, upload_id: str, ticket: TicketQuery = None, last_event_id: AfterQuery = None
) -> None:
    """Watch an upload until it is final."""
    try:
        identity, after = upload_id_of(upload_id), _after(websocket, last_event_id)
        principal = await _watcher(websocket, ticket, identity)
        _require_origin(websocket, principal)
        watch = watch_upload(gateway_of(websocket), principal, identity, after)
        await serve_socket(websocket, gateway_of(websocket), principal, watch, _heartbeat(websocket))
    except GatewayError as error:
        await websocket.send_denial_response(problem_response(error))


@router.websocket("/ws")
async def tenant_socket(websocket: WebSocket, ticket: TicketQuery = None, last_event_id: AfterQuery = None) -> None:
    """Watch all your uploads; without a last event id, from now on."""
    try:
        after = _after(websocket, last_event_id)
        principal = require_key(await _watcher(websocket, ticket, None))
        _require_origin(websocket, principal)
        watch = watch_tenant(gateway_of(websocket), principal, after)
        await serve_socket(websocket, gateway_of(websocket), principal, watch, _heartbeat(websocket))
    except GatewayError as error:
        await websocket.send_denial_response(problem_response(error))


async def _ticket(request: Request, caller: Principal, upload_id: UUID | None) -> Response:
    seconds = settings_of(request).ticket_seconds
    text, expires_at = await make_ticket(gateway_of(request), caller, upload_id, seconds=seconds)
    return json_response({"ticket": text, "expires_at": expires_at}, 201)


async def _watcher(connection: HTTPConnection, ticket: str | None, upload_id: UUID | None) -> Principal:
    """Return the principal of a watcher; raise Unauthenticated, TooMany, and Forbidden for other pages."""
    if ticket is not None:
        # Always looked up: after a restart every page comes back with a used ticket, and then with a good one.
        with strangers_counted(connection, "ticket"):
            principal = await use_ticket(gateway_of(connection), ticket, upload_id)
        require_page(connection, principal.token)
        if principal.token is not None:
            count_token(connection, principal.token.token_id)
        else:
            count_key(connection, principal.key_id)
        # The key may have been revoked since it asked for the ticket.
        await require_valid_credentials(gateway_of(connection), principal)
        return principal
    return await principal_of(connection)


def _heartbeat(connection: HTTPConnection) -> float:
    return settings_of(connection).stream_heartbeat_seconds


def _after(connection: HTTPConnection, query: str | None) -> Position | None:
    """Return the position to go on from. A browser that reconnects sends the header beside the query it began with."""
    text = connection.headers.get("last-event-id") or query
    if not text:
        return None
    try:
        return Position.parse(text)
    except ValueError:
        raise Invalid("The last event id is not one of ours.") from None


def _require_origin(websocket: WebSocket, principal: Principal) -> None:
    """Raise Forbidden for pages of strangers: browsers ask no leave before they open a WebSocket across origins."""
    origin = websocket.headers.get("origin")
    if origin is None:
        return
    settings = settings_of(websocket)
    token_origins = principal.token.allowed_origins if principal.token else ()
    if OriginRules((*settings.allowed_origins, *token_origins)).allow(origin):
        return
    # Behind a proxy that ends TLS the scheme is another than the page's; the host is what tells pages apart.
    own = urlsplit(settings.public_url).netloc if settings.public_url else websocket.headers.get("host", "")
    if not own or urlsplit(origin).netloc.lower() != own.lower():
        raise Forbidden("Pages of this origin may not open a WebSocket here.")
