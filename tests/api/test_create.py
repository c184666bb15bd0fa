"""POST /v1/uploads: what is taken, what is refused, and the same answer for the same request."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.api.conftest import MIB, Api, OpenApi, gather, mp3_bytes

GIB = 1024 * MIB


async def test_a_new_upload_names_its_parts_and_where_it_is(api: Api) -> None:
    """The answer carries Location, the plan and every URL of a file of up to 100 parts."""
    answer = await api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 5 * GIB})
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/uploads/{created['upload_id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert (created["state"], created["part_count"], len(created["parts"])) == ("uploading", 99, 99)
    assert created["part_size_bytes"] == 52 * MIB
    assert sum(part["size_bytes"] for part in created["parts"]) == 5 * GIB
    assert {part["method"] for part in created["parts"]} == {"PUT"}
    assert all("content-length" in part["url"] for part in created["parts"])


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"filename": "a.exe"}, 400, "extension_not_allowed"),
        ({"filename": "a"}, 400, "extension_not_allowed"),
        ({"filename": ".mp3"}, 400, "extension_not_allowed"),
        ({"filename": "a.mp3.exe"}, 400, "extension_not_allowed"),
        ({"filename": ""}, 422, "invalid_request"),
        ({"filename": "a\x00.mp3"}, 422, "invalid_request"),
        ({"filename": "ä" * 600 + ".mp3"}, 422, "invalid_request"),
        ({"size_bytes": 0}, 422, "invalid_request"),
        ({"size_bytes": -1}, 422, "invalid_request"),
        ({"size_bytes": True}, 422, "invalid_request"),
        ({"size_bytes": "7"}, 422, "invalid_request"),
        ({"size_bytes": 7.5}, 422, "invalid_request"),
        ({"size_bytes": 7.0}, 422, "invalid_request"),
        ({"size_bytes": None}, 422, "invalid_request"),
        ({"size_bytes": 5 * GIB + 1}, 413, "file_too_large"),
        ({"size_bytes": 2**63}, 413, "file_too_large"),
        ({"size_bytes": 10**30}, 413, "file_too_large"),
        ({"colour": "red"}, 422, "invalid_request"),
        ({"key": "../../x", "bucket": "other"}, 422, "invalid_request"),
        ({"part_size_bytes": 5 * MIB - 1}, 422, "invalid_request"),
        ({"part_size_bytes": 5 * GIB + 1}, 422, "invalid_request"),
        ({"metadata": {"a": 1}}, 422, "invalid_request"),
        ({"metadata": {str(n): "" for n in range(33)}}, 422, "invalid_request"),
        ({"part_checksums": "md5"}, 422, "invalid_request"),
        ({"part_checksums": ["x"]}, 422, "invalid_request"),
        ({"part_checksums": ["A" * 43 + "="] * 2}, 422, "invalid_request"),
    ],
)
async def test_g1_what_is_wrong_is_refused_with_its_code(
    api: Api, change: dict[str, Any], status: int, code: str
) -> None:
    """Each wrong declaration has its status and its code, as a problem."""
    answer = await api.call("POST", "/v1/uploads", json={"filename": "a.mp3", "size_bytes": 7, **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize(
    "body",
    [
        b'{"filename": "a.mp3", "size_bytes": NaN}',
        b'{"filename": "a.mp3", "size_bytes": Infinity}',
        b'{"filename": "a.mp3", "size_bytes": -Infinity}',
        b'{"filename": "a.mp3", "size_bytes": 1e400}',
        b'{"filename": "a.mp3", "size_bytes": ' + b"9" * 5000 + b"}",
        b"[" * 1000 + b"]" * 1000,
        b"[" * 100_000,
        b'{"filename": "a.mp3", "size_bytes": 7, "metadata": ' + b'{"a":' * 1000 + b"1" + b"}" * 1001,
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"filename": "\\ud800.mp3", "size_bytes": 7}',
    ],
)
async def test_g1_no_body_is_a_server_error(api: Api, body: bytes) -> None:
    """NaN, endless digits, deep nesting and broken text get 4xx and are not echoed."""
    answer = await api.call("POST", "/v1/uploads", content=body)
    assert answer.status_code in (413, 415, 422), answer.text
    assert len(answer.content) < 4096


async def test_g2_a_body_is_capped_before_it_is_parsed(api: Api) -> None:
    """A body over the cap gets 413, announced or not, and the connection is closed."""

    async def endless() -> Any:
        for _ in range(64):
            yield b" " * MIB

    for content in (b" " * (3 * MIB), endless()):
        answer = await api.call("POST", "/v1/uploads", content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.headers["connection"] == "close"


async def test_of_a_name_given_twice_the_last_counts(api: Api) -> None:
    """JSON leaves doubled names open; here the last one counts."""
    answer = await api.call("POST", "/v1/uploads", content=b'{"filename":"a.mp3","size_bytes":0,"size_bytes":9}')
    assert (answer.status_code, answer.json()["size_bytes"]) == (201, 9)


@pytest.mark.parametrize(
    "filename",
    [
        "../../etc/passwd.mp3",
        "a\\..\\b.mp3",
        "//x.mp3",
        "\u202egnp.mp3",
        "con.mp3",
        "x" * 1000 + ".mp3",
        "\r\n.mp3x.mp3",
    ],
)
async def test_c1_no_name_reaches_the_key(api: Api, filename: str) -> None:
    """Whatever the file is called, the gateway makes the key."""
    created = await api.create(mp3_bytes(), filename)
    assert re.fullmatch(f"uploads/{created['upload_id']}-[0-9a-f]{{32}}\\.mp3", created["object_key"])
    assert created["filename"] == filename


async def test_d6_the_same_request_gets_the_same_answer(api: Api) -> None:
    """A repeated Idempotency-Key gives the same upload and the same URLs, to the byte."""
    wanted = {"filename": "a.mp3", "size_bytes": 100 * MIB, "metadata": {"user": "7"}}
    first, second = [
        await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "one"}) for _ in range(2)
    ]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content


async def test_d6_another_body_under_the_same_key_is_refused(api: Api) -> None:
    """A key stands for one request."""
    for size, status in ((1, 201), (2, 422)):
        wanted = {"filename": "a.mp3", "size_bytes": size}
        answer = await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "one"})
        assert answer.status_code == status
    assert answer.json()["code"] == "idempotency_key_reused"


async def test_d6_keys_of_tenants_are_apart(api: Api) -> None:
    """Another tenant's use of the same key is another request."""
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    answers = [
        await api.call("POST", "/v1/uploads", tenant=tenant, json=wanted, headers={"idempotency-key": "one"})
        for tenant in ("acme", "other")
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["upload_id"] != answers[1].json()["upload_id"]


async def test_d6_the_same_request_at_once_makes_one_upload(api: Api) -> None:
    """Of requests at the same time one creates; the others get its answer or are told to wait."""
    await api.key()
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    answers = await gather(
        *(api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "k"}) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["upload_id"] for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_in_progress"
            assert "retry-after" in answer.headers
    page = (await api.call("GET", "/v1/uploads")).json()
    assert len(page["uploads"]) == 1


async def test_d6_a_key_may_be_used_again_after_its_time(open_api: OpenApi) -> None:
    """A key older than its time stands for a new request."""
    api: Api = await open_api(idempotency_seconds=1)
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    first = await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "one"})
    await api.gateway.database.execute("UPDATE idempotency_keys SET created_at = created_at - interval '1 hour'", {})
    second = await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "one"})
    assert first.json()["upload_id"] != second.json()["upload_id"]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ä"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """Idempotency keys are 1 to 255 printable ASCII characters."""
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    answer = await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": key.encode()})
    assert answer.status_code == 422


async def test_g3_no_url_is_kept_in_the_database(api: Api) -> None:
    """Neither signatures nor keys are in any row."""
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    await api.call("POST", "/v1/uploads", json=wanted, headers={"idempotency-key": "one"})
    for table in ("uploads", "events", "idempotency_keys", "api_keys"):
        rows = await api.gateway.database.fetch_all(f"SELECT to_jsonb(t) AS row FROM {table} t", {})
        text = json.dumps([row["row"] for row in rows])
        assert "X-Amz" not in text
        assert await api.key() not in text
