"""Ask before an upload whether the gateway would accept a file: name, size and a few kilobytes of it are sent."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.client.flow import Call, Endpoint, Flow, Retry, exchange
from gateway.client.models import Inspection, Rejection

HEAD_BYTES = 34 * 1024
TAIL_BYTES = 66 * 1024
"""The beginning and the end of a file: with these the gateway answers nearly every question at once."""

MAX_RANGES = 24
MAX_BYTES = 256 * 1024
"""The gateway accepts no more in one question, nor does its own check read more."""

LONGEST_SECONDS = 10.0
"""An upload waits no longer for the answer to a question that it can do without."""

ReadRange = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a question is about: *read* returns the bytes of a range (offset, length)."""

    filename: str
    size_bytes: int
    read: ReadRange


def inspect(file: FileFacts, endpoint: Endpoint, *, longest_seconds: float | None = None) -> Flow[Inspection]:
    """Ask until the gateway answers; `accepted` stays None where it wants more than one question may have.

    Each range is read once. A gateway that asks for the same range again gets no further question.
    """
    known: dict[tuple[int, int], bytes] = {}
    wanted = _first_ranges(file.size_bytes)
    while True:
        for start, length in wanted:
            known[start, length] = file.read(start, length)
        inspection, wanted = yield from exchange(_question(file, known, longest_seconds), endpoint)
        wanted = [one for one in _within(wanted, file.size_bytes) if one not in known]
        total = sum(len(data) for data in known.values()) + sum(length for _, length in wanted)
        if inspection.accepted is not None or not wanted:
            return inspection
        if total > MAX_BYTES or len(known) + len(wanted) > MAX_RANGES:
            return inspection


def once(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with a single try, for a question that an upload can do without."""
    return Endpoint(endpoint.address, Retry(attempts=1))


def _first_ranges(size_bytes: int) -> list[tuple[int, int]]:
    if size_bytes <= HEAD_BYTES + TAIL_BYTES:
        return [(0, size_bytes)] if size_bytes else []
    return [(0, HEAD_BYTES), (size_bytes - TAIL_BYTES, TAIL_BYTES)]


def _within(wanted: Iterable[tuple[int, int]], size_bytes: int) -> list[tuple[int, int]]:
    """Cut ranges to the file: what a server asks for is not trusted."""
    cut = [(start, min(length, size_bytes - start)) for start, length in wanted if 0 <= start < size_bytes]
    return [(start, length) for start, length in cut if length > 0][:MAX_RANGES]


def _question(
    file: FileFacts, known: Mapping[tuple[int, int], bytes], longest_seconds: float | None
) -> Call[tuple[Inspection, list[tuple[int, int]]]]:
    ranges = [{"start": start, "data": base64.b64encode(data).decode()} for (start, _), data in known.items()]
    body = {"filename": file.filename, "size_bytes": file.size_bytes, "ranges": ranges}
    return Call("POST", "/v1/inspect", _parse, json=body, longest_seconds=longest_seconds)


def _parse(response: httpx.Response) -> tuple[Inspection, list[tuple[int, int]]]:
    body: Mapping[str, Any] = response.json()
    rejection = body["rejection"]
    inspection = Inspection(
        accepted=body["accepted"],
        rejection=Rejection(rejection["code"], rejection.get("detail", "")) if rejection else None,
        content_type=body.get("content_type"),
        complete=body.get("complete"),
        extension_mismatch=body.get("extension_mismatch"),
        suggested_filename=body.get("suggested_filename"),
        detection=body.get("detection"),
    )
    return inspection, [(int(one["start"]), int(one["length"])) for one in body.get("wanted") or ()]
