"""A request costs what it works, and no request holds the event loop for long."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from gateway.api import json_bodies, models
from gateway.api.rate_limits import Limits
from gateway.domain.errors import Invalid
from gateway.domain.rates import Allowances
from gateway.domain.turns import Turns
from tests.api.conftest import Api, OpenApi

MIB = 1024 * 1024
LARGE = {"filename": "a.mp4", "size_bytes": 5000 * MIB, "part_size_bytes": 5 * MIB}


async def _requests_left(api: Api) -> int:
    """Count the cheap requests that the key has left of its minute."""
    for left in range(61):
        if (await api.call("GET", "/v1/uploads?limit=1")).status_code == 429:
            return left
    raise AssertionError("the limit is off")


@pytest.mark.parametrize(
    ("method", "path", "body", "cost"),
    [
        ("GET", "/v1/uploads?limit=1", None, 1),
        ("GET", "/v1/uploads?limit=1000", None, 20),
        ("POST", "/v1/uploads/{id}/parts/sign", {"part_numbers": [1]}, 1),
        ("POST", "/v1/uploads/{id}/parts/sign", {"part_numbers": list(range(1, 1001))}, 21),
        ("POST", "/v1/uploads/{id}/complete", {"parts": [{"part_number": n, "etag": "a"} for n in range(1, 5001)]}, 23),
        ("POST", "/v1/uploads/{id}/complete", b" " * (2 * MIB), 33),
    ],
)
async def test_j4_a_request_costs_what_it_works(
    open_api: OpenApi, method: str, path: str, body: Any, cost: int
) -> None:
    """Parts signed, part numbers named, bytes parsed and rows listed are counted against the key's rate."""
    api: Api = await open_api(rate_per_key=1)
    created = (await api.call("POST", "/v1/uploads", json=LARGE)).json()
    api.app.state.limits = Limits(api.settings, lambda: 0)
    options: dict[str, Any] = (
        {} if body is None else {"content": body if isinstance(body, bytes) else orjson.dumps(body)}
    )
    answer = await api.call(method, path.format(id=created["upload_id"]), **options)
    assert answer.status_code != 429
    assert await _requests_left(api) == 60 - cost


async def test_j4_what_is_too_dear_now_is_refused_before_it_is_done(open_api: OpenApi) -> None:
    """With too little left a large body is 429 before it is read, and Retry-After says when there is enough."""
    api: Api = await open_api(rate_per_key=1)
    await api.key()
    api.app.state.limits = Limits(api.settings, lambda: 0)
    for _ in range(40):
        await api.call("GET", "/v1/uploads?limit=1")
    refused = await api.call("POST", "/v1/uploads", content=b" " * (2 * MIB))
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "13"


def test_j4_an_allowance_is_taken_in_units() -> None:
    """Several units are taken together or not at all."""
    now = 0
    allowances = Allowances(1, lambda: now)
    assert allowances.take("a", 50) == 0
    assert allowances.take("a", 20) == 10
    assert allowances.take("a", 10) == 0
    assert allowances.take("a") == 1


HOSTILE = {
    "unknown names": orjson.dumps({f"k{number}": 1 for number in range(160_000)}),
    "unknown names in a part": orjson.dumps({"parts": [{f"k{number}": 1 for number in range(160_000)}]}),
    "wrong parts": orjson.dumps({"parts": [{"x": 1}] * 10_000}),
    "a million numbers": b'{"parts":[' + b",".join([b"1"] * 1_000_000) + b"]}",
    "deep": b'{"parts":' + b"[" * 1_000_000,
    "deep and closed": b'{"parts":' + b"[" * 500 + b"]" * 500 + b" " * 5000 + b"}",
    "parts with too many names": orjson.dumps({"parts": [{f"k{number}": 1 for number in range(40)}] * 4000}),
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_j4_hostile_json_is_refused_by_its_shape(api: Api, hostile: str) -> None:
    """Two megabytes of wrong JSON are 422 with at most 20 errors named."""
    answer = await api.call(
        "POST", "/v1/uploads/00000000-0000-0000-0000-000000000000/complete", content=HOSTILE[hostile]
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert len(answer.json().get("errors") or []) <= 20


async def test_j4_a_large_body_is_validated_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand parts come out as they went in, in pieces of fifty, and a wrong one is named by its place."""
    sizes: list[int] = []
    validated = json_bodies._validated

    def noted(body: bytes, model: type[BaseModel], *where: Any) -> Any:
        sizes.append(len(body))
        return validated(body, model, *where)

    monkeypatch.setattr(json_bodies, "_validated", noted)
    parts = [{"part_number": number, "etag": f"{number:032x}"} for number in range(1, 10_001)]
    parsed = await json_bodies.parse(orjson.dumps({"parts": parts}), models.CompleteUpload)
    assert parsed.parts is not None
    assert [part.model_dump() for part in parsed.parts] == parts
    assert len(sizes) == 200
    assert max(sizes) < 8192
    parts[7_123]["part_number"] = 0
    with pytest.raises(Invalid) as refused:
        await json_bodies.parse(orjson.dumps({"parts": parts}), models.CompleteUpload)
    assert refused.value.fields["errors"][0]["pointer"] == "/parts/7123/part_number"
    numbers = orjson.dumps({"part_numbers": list(range(1, 1500))})
    with pytest.raises(Invalid, match="at most 1000"):
        await json_bodies.parse(numbers, models.SignParts)


async def test_j4_turns_are_given_name_by_name() -> None:
    """However many callers of one name wait, another name waits for one of them; nobody runs twice at once."""
    turns, order, running = Turns(1), [], 0

    async def work(name: str) -> None:
        nonlocal running
        async with turns.held(name):
            running += 1
            assert running == 1
            order.append(name)
            await asyncio.sleep(0)
            running -= 1

    flood = [asyncio.create_task(work("flood")) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(*(work(name) for name in ("a", "b")))
    assert order.index("a") <= 3
    assert order.index("b") <= 4
    for task in flood[40:]:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    await work("last")
    assert order[-1] == "last"
    assert not [pair for pair in pairwise(order[:4]) if pair == ("a", "a")]
