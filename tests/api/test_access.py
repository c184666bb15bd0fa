"""Who may do what: keys, tenants, and answers that tell a stranger nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from gateway.auth.api_keys import parse_key
from gateway.database import api_keys
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.store.objects import put_object

ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("GET", "/parts", None),
    ("POST", "/parts/sign", {"part_numbers": [1]}),
    ("POST", "/complete", {}),
    ("GET", "/download", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_d1_another_tenants_upload_is_like_none(
    api: Api, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """On every route another tenant's id, an unknown id and no id at all get the same 404."""
    created = await api.create(b"x")
    answers = [
        await api.call(method, f"/v1/uploads/{upload_id}{path}", tenant="other", json=body)
        for upload_id in (created["upload_id"], "01a207a4-748d-797a-ab36-f5e7864d0280", "nothing")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert (await api.get(created["upload_id"]))["state"] == "uploading"


async def test_d1_a_list_holds_only_ones_own(api: Api) -> None:
    """A tenant lists its own uploads and no other's."""
    await api.create(b"x")
    assert (await api.call("GET", "/v1/uploads", tenant="other")).json() == {"uploads": [], "next_cursor": None}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer wrong-key-of-no-one",
        "Bearer gw_0000000000_" + "A" * 43,
        "x" * 9000,
    ],
)
async def test_d4_without_a_good_key_nothing_is_said(api: Api, header: str | None) -> None:
    """Missing, malformed and unknown keys get the same 401."""
    await api.key()
    headers = {} if header is None else {"authorization": header}
    answer = await api.client.get("/v1/uploads", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_d4_a_right_id_with_a_wrong_secret_is_an_unknown_key(api: Api) -> None:
    """Knowing the public part of a key helps nobody."""
    right = await api.key()
    wrong = right[:-4] + ("AAAA" if right[-4:] != "AAAA" else "BBBB")
    unknown = "gw_0123456789_" + "A" * 43
    answers = [
        await api.client.get("/v1/uploads", headers={"authorization": f"Bearer {key}"}) for key in (wrong, unknown)
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


async def test_d4_a_revoked_key_is_dead_at_once(api: Api) -> None:
    """The request after the revocation is refused."""
    key = await api.key()
    assert (await api.call("GET", "/v1/uploads")).status_code == 200
    assert await api_keys.revoke(api.gateway.database, parse_key(key).key_id)
    assert (await api.call("GET", "/v1/uploads")).status_code == 401


async def test_d2_a_client_names_neither_key_nor_bucket(api: Api) -> None:
    """Fields and queries that name a key, a bucket or the store's upload id change nothing."""
    created = await api.create(b"x")
    path = f"/v1/uploads/{created['upload_id']}/parts/sign"
    answer = await api.call("POST", path + "?key=other&uploadId=x&bucket=y", json={"part_numbers": [1]})
    assert created["object_key"] in answer.json()["parts"][0]["url"]
    refused = await api.call("POST", path, json={"part_numbers": [1], "key": "other"})
    assert refused.status_code == 422


async def test_a_page_of_uploads_leads_to_the_next(api: Api) -> None:
    """Pages hold every upload once, newest first, and may be narrowed to a state."""
    made = [(await api.create(b"x"))["upload_id"] for _ in range(5)]
    await api.call("DELETE", f"/v1/uploads/{made[0]}")
    seen: list[str] = []
    cursor = None
    for _ in range(5):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.call("GET", "/v1/uploads", params=query)).json()
        seen += [upload["upload_id"] for upload in page["uploads"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    aborted = (await api.call("GET", "/v1/uploads", params={"state": "aborted"})).json()
    assert [upload["upload_id"] for upload in aborted["uploads"]] == [made[0]]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"state": "x"}, {"cursor": "x"}])
async def test_a_wrong_query_is_a_problem(api: Api, query: dict[str, str]) -> None:
    """A page that cannot be is 422 with its code."""
    answer = await api.call("GET", "/v1/uploads", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_delete_is_204_and_again_204(api: Api) -> None:
    """Aborting twice is aborting once; the parts are gone, and signing says why not."""
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    path = f"/v1/uploads/{created['upload_id']}"
    assert [(await api.call("DELETE", path)).status_code for _ in range(2)] == [204, 204]
    assert (await api.store.put(created["parts"][0]["url"], content=body)).status_code == 404
    for method, rest, content in (("POST", "/parts/sign", {"part_numbers": [1]}), ("POST", "/complete", {})):
        answer = await api.call(method, path + rest, json=content)
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert (await api.call("GET", path + "/parts")).status_code == 409


async def test_what_is_ready_cannot_be_aborted_or_signed(api: Api) -> None:
    """Ready is final: no URL is signed for it any more, its parts stay listed, and DELETE says no."""
    final = await api.ready(mp3_bytes())
    path = f"/v1/uploads/{final['upload_id']}"
    assert (await api.call("DELETE", path)).status_code == 409
    assert (await api.call("POST", path + "/parts/sign", json={"part_numbers": [1]})).status_code == 409
    parts = (await api.call("GET", path + "/parts")).json()["parts"]
    assert [(part["part_number"], part["size_bytes"]) for part in parts] == [(1, final["size_bytes"])]
    assert '"' not in parts[0]["etag"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"part_numbers": []},
        {"part_numbers": [0]},
        {"part_numbers": [2]},
        {"part_numbers": ["1"]},
        {"part_numbers": [True]},
        {"part_numbers": [1], "parts": [{"part_number": 1}]},
        {"part_numbers": list(range(1, 1002))},
        {"parts": [{"part_number": 1, "checksum_sha256": "A" * 43 + "="}]},
    ],
)
async def test_signing_takes_what_the_plan_has(api: Api, body: dict[str, Any]) -> None:
    """Numbers outside the plan, more than 1,000, or a checksum nobody announced are refused."""
    created = await api.create(b"x")
    answer = await api.call("POST", f"/v1/uploads/{created['upload_id']}/parts/sign", json=body)
    assert answer.status_code == 422, answer.text


async def test_a_thousand_parts_are_signed_in_one_call(api: Api) -> None:
    """The largest call answers every URL in the order asked for."""
    answer = await api.call(
        "POST", "/v1/uploads", json={"filename": "a.mp4", "size_bytes": 5 * 1024**3, "part_size_bytes": 5 * 1024**2}
    )
    numbers = list(range(1000, 0, -1))
    signed = await api.call("POST", f"{answer.headers['location']}/parts/sign", json={"part_numbers": numbers})
    assert signed.status_code == 200, signed.text
    assert [part["part_number"] for part in signed.json()["parts"]] == numbers
    assert len({part["url"] for part in signed.json()["parts"]}) == 1000


@pytest.mark.parametrize(
    "filename", ['a"; x="b.mp3', "ä ö.mp3", "日本語.mp3", "a%0d%0aSet-Cookie: x.mp3", "line\r\nSet-Cookie: a=b.mp3"]
)
async def test_c2_no_name_splits_the_disposition(api: Api, filename: str) -> None:
    """Whatever the file is called, the store sends one attachment header, and the true name in RFC 8187."""
    final = await api.ready(mp3_bytes(), filename)
    link = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download", headers={"accept": "application/json"})
    got = await api.store.get(link.json()["url"])
    assert got.status_code == 200
    assert "set-cookie" not in got.headers
    assert got.headers["content-disposition"].startswith('attachment; filename="')


async def test_health_says_what_is_there(api: Api) -> None:
    """Liveness asks nothing; readiness names database, migrations and store."""
    assert (await api.client.get("/healthz")).json() == {"status": "ok"}
    ready = await api.client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (
        200,
        {"database": "ok", "migrations": "ok", "store": "ok"},
    )


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/v1/uploads", 405)])
async def test_even_what_is_not_there_is_a_problem(api: Api, method: str, path: str, status: int) -> None:
    """Unknown routes and methods answer as problems too."""
    answer = await api.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]


async def test_g6_many_requests_at_once_are_all_answered(api: Api) -> None:
    """A burst larger than the pool waits its turn; none fails."""
    created = await api.create(b"x")
    answers = await gather(*(api.call("GET", f"/v1/uploads/{created['upload_id']}") for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a1_a_download_is_of_what_was_checked(api: Api) -> None:
    """Bytes that someone with the store's own key put over a ready object are not given out."""
    final = await api.ready(mp3_bytes())
    await put_object(api.gateway.store, final["object_key"], b"other", content_type="audio/mpeg")
    answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download")
    assert (answer.status_code, answer.json()["code"]) == (409, "object_changed")
    await api.gateway.store.delete_object(final["object_key"])
    answer = await api.call("GET", f"/v1/uploads/{final['upload_id']}/download")
    assert (answer.status_code, answer.json()["code"]) == (409, "object_changed")


async def test_uploads_and_downloads_are_signed_by_keys_of_their_own(open_api: OpenApi) -> None:
    """A key that may only write signs uploads, one that may only read signs downloads, and ours shows in neither."""
    api: Api = await open_api(
        s3_signing_access_key_id="writer",
        s3_signing_secret_access_key=SecretStr("w"),
        s3_download_access_key_id="reader",
        s3_download_secret_access_key=SecretStr("r"),
    )
    created = await api.create(b"x")
    assert "X-Amz-Credential=writer%2F" in created["parts"][0]["url"]
    link = api.gateway.download_presigner.get_object(created["object_key"], 60)
    assert "X-Amz-Credential=reader%2F" in link.url
