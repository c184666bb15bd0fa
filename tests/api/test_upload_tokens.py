"""Upload tokens: what they open, what they leave shut, and how they cannot be made up."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.auth.upload_tokens import AUDIENCE, ISSUER, TYPE
from tests.api.conftest import Api, OpenApi, gather, mp3_bytes
from tests.api.uploaders import SECRET, call_with, create_with, issue

ORIGIN = "https://app.example.com"


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with upload tokens switched on."""
    started: Api = await open_api(token_secret=_secret(SECRET))
    return started


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def forge(*, key: Any = None, algorithm: str = "HS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """Make a token that is ours but for what is named; None leaves a claim out."""
    now = int(datetime.now(UTC).timestamp())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "acme",
        "jti": str(uuid4()),
        "key": "key",
        "pol": "media",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
    }
    merged = {name: value for name, value in {**good, **claims}.items() if value is not None}
    headers = {"alg": algorithm, "typ": TYPE, **(header or {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return _encode(headers, merged, key)


def _encode(headers: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """Write a token by hand where the library would refuse to."""
    if headers["alg"] == "HS256" and key is None:
        import hashlib
        import hmac

        signed = f"{_b64(json.dumps(headers))}.{_b64(json.dumps(claims))}"
        digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_b64(digest)}"
    return jwt.encode(headers, claims, key, algorithms=[headers["alg"]])


def _b64(data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_a_token_takes_a_file_the_whole_way(api: Api) -> None:
    """Its bearer creates, signs, lists, completes and reads its own upload; the backend's metadata comes back."""
    issued = await issue(api, metadata={"user_id": "7"}, max_files=2)
    assert issued["endpoint"] == f"http://localhost/uppy/{issued['token']}"
    token, body = issued["token"], mp3_bytes()
    created = (await create_with(api, token, body, metadata={"user_id": "8", "album": "x"})).json()
    assert created["metadata"] == {"user_id": "7", "album": "x"}
    path = f"/v1/uploads/{created['upload_id']}"
    signed = await call_with(api, token, "POST", f"{path}/parts/sign", json={"part_numbers": [1]})
    assert (await api.store.put(signed.json()["parts"][0]["url"], content=body)).status_code == 200
    assert len((await call_with(api, token, "GET", f"{path}/parts")).json()["parts"]) == 1
    done = await call_with(api, token, "POST", f"{path}/complete")
    assert (done.status_code, done.json()["state"]) == (200, "ready")
    assert done.json()["metadata"]["user_id"] == "7"
    listed = await call_with(api, token, "GET", "/v1/uploads")
    assert [upload["upload_id"] for upload in listed.json()["uploads"]] == [created["upload_id"]]
    seen_by_backend = await api.call("GET", path)
    assert seen_by_backend.json()["metadata"] == {"user_id": "7", "album": "x"}


async def test_a_token_downloads_only_when_it_was_made_for_that(api: Api) -> None:
    """A token may not download its uploads unless its maker said so."""
    body = mp3_bytes()
    for allowed, status in ((False, 403), (True, 307)):
        token = (await issue(api, allow_download=allowed))["token"]
        created = (await create_with(api, token, body)).json()
        assert created["can_download"] is False
        await api.put(created, body)
        path = f"/v1/uploads/{created['upload_id']}"
        done = await call_with(api, token, "POST", f"{path}/complete")
        assert (done.json()["state"], done.json()["can_download"]) == ("ready", allowed)
        [listed] = (await call_with(api, token, "GET", "/v1/uploads")).json()["uploads"]
        assert listed == (await call_with(api, token, "GET", path)).json()
        assert listed["can_download"] is allowed
        assert (await api.get(created["upload_id"]))["can_download"] is True, "a key downloads everything"
        answer = await call_with(api, token, "GET", f"/v1/uploads/{created['upload_id']}/download")
        assert answer.status_code == status, answer.text


async def test_d1_a_token_sees_nothing_but_its_own(api: Api) -> None:
    """Uploads of another token, of the backend and of another tenant are not found, in the same words everywhere."""
    mine, other, foreign = (
        (await issue(api))["token"],
        (await issue(api))["token"],
        (await issue(api, "rival"))["token"],
    )
    body = mp3_bytes()
    theirs = [
        (await create_with(api, other, body)).json()["upload_id"],
        (await create_with(api, foreign, body)).json()["upload_id"],
        (await api.create(body))["upload_id"],
    ]
    missing = str(uuid4())
    for method, path, options in _routes():
        answers = [await call_with(api, mine, method, path.format(id=i), **options) for i in [missing, *theirs]]
        assert {answer.status_code for answer in answers} == {404}, path
        assert len({answer.text for answer in answers}) == 1, path
    assert (await call_with(api, mine, "GET", "/v1/uploads")).json()["uploads"] == []


def _routes() -> list[tuple[str, str, dict[str, Any]]]:
    complete = {"json": {"parts": [{"PartNumber": 1, "ETag": "x"}]}}
    return [
        ("GET", "/v1/uploads/{id}", {}),
        ("DELETE", "/v1/uploads/{id}", {}),
        ("GET", "/v1/uploads/{id}/parts", {}),
        ("POST", "/v1/uploads/{id}/parts/sign", {"json": {"part_numbers": [1]}}),
        ("POST", "/v1/uploads/{id}/complete", {}),
        ("GET", "/v1/uploads/{id}/events", {}),
        ("GET", "/s3/multipart/{id}", {}),
        ("GET", "/s3/multipart/{id}/1", {}),
        ("GET", "/s3/multipart/{id}/batch?partNumbers=1,2", {}),
        ("POST", "/s3/multipart/{id}/complete", complete),
        ("DELETE", "/s3/multipart/{id}", {}),
        ("GET", "/s3xml/{id}", {}),
        ("POST", "/s3xml/{id}", {}),
        ("DELETE", "/s3xml/{id}", {}),
    ]


async def test_d3_a_token_opens_no_route_of_keys(api: Api) -> None:
    """A token makes, lists and revokes no tokens, and does not watch its tenant."""
    token = (await issue(api))["token"]
    for method, path in (
        ("POST", "/v1/upload-tokens"),
        ("GET", "/v1/upload-tokens"),
        ("GET", "/v1/upload-tokens/x"),
        ("DELETE", "/v1/upload-tokens/x"),
        ("GET", "/v1/events"),
    ):
        answer = await call_with(api, token, method, path, json={"expires_in_seconds": 600})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


RSA = RSAKey.generate_key(2048)


def _rs_to_hs() -> str:
    return _signed_with(RSA.as_pem(private=False))


ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{_b64(json.dumps({'alg': 'none', 'typ': TYPE}))}.{forge().split('.')[1]}.",
    "alg none with a signature": lambda: f"{_b64(json.dumps({'alg': 'none', 'typ': TYPE}))}.{forge().split('.', 1)[1]}",
    "alg None in capitals": lambda: f"{_b64(json.dumps({'alg': 'NONE', 'typ': TYPE}))}.{forge().split('.')[1]}.AA",
    "RS256 by a key of the attacker": lambda: forge(key=RSA, algorithm="RS256"),
    "ES256 by a key of the attacker": lambda: forge(key=ECKey.generate_key("P-256"), algorithm="ES256"),
    "HS256 by a public RSA key": _rs_to_hs,
    "HS384 by our secret": lambda: forge(key=OctKey.import_key(SECRET), algorithm="HS384"),
    "HS256 by an empty secret": lambda: _signed_with(b""),
    "HS256 by another secret": lambda: _signed_with(b"x" * 40),
    "wrong aud": lambda: forge(aud="upload-gateway/admin"),
    "list of aud": lambda: forge(aud=[AUDIENCE]),
    "no aud": lambda: forge(aud=None),
    "wrong iss": lambda: forge(iss="someone"),
    "no iss": lambda: forge(iss=None),
    "expired": lambda: forge(exp=int(datetime.now(UTC).timestamp()) - 1),
    "no exp": lambda: forge(exp=None),
    "exp as text": lambda: forge(exp="9999999999"),
    "exp past every calendar": lambda: forge(exp=10**30),
    "exp true": lambda: forge(exp=True),
    "not yet": lambda: forge(nbf=int((datetime.now(UTC) + timedelta(hours=1)).timestamp())),
    "no nbf": lambda: forge(nbf=None),
    "wrong typ": lambda: forge(header={"typ": "JWT"}),
    "no typ": lambda: forge(header={"typ": None}),
    "jku": lambda: forge(header={"jku": "https://evil.example/jwks.json"}),
    "jwk": lambda: forge(header={"jwk": {"kty": "oct", "k": _b64(SECRET)}}),
    "kid that is a path": lambda: forge(header={"kid": "../../../dev/null"}),
    "x5u": lambda: forge(header={"x5u": "https://evil.example/x5u"}),
    "crit": lambda: forge(header={"crit": ["exp"]}),
    "b64": lambda: forge(header={"crit": ["b64"], "b64": False}),
    "zip": lambda: forge(header={"zip": "DEF"}),
    "no jti": lambda: forge(jti=None),
    "jti that is none": lambda: forge(jti="1"),
    "no sub": lambda: forge(sub=None),
    "claims that are a list": lambda: _raw_claims("[]"),
    "claims that are no JSON": lambda: _raw_claims("{"),
    "a header that is a list": lambda: f"{_b64('[]')}.{forge().split('.', 1)[1]}",
    "changed claims": lambda: ".".join(
        [forge().split(".")[0], forge(sub="rival").split(".")[1], forge().split(".")[2]]
    ),
    "cut signature": lambda: forge()[:-1],
    "no signature": lambda: forge().rsplit(".", 1)[0] + ".",
    "five parts": lambda: "eyJhbGciOiJkaXIifQ..a.b.c",
    "endless": lambda: forge(sub="a" * 10_000),
}


def _signed_with(secret: bytes) -> str:
    import hashlib
    import hmac

    signed = forge().rsplit(".", 1)[0]
    return f"{signed}.{_b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _raw_claims(text: str) -> str:
    import hashlib
    import hmac

    signed = f"{_b64(json.dumps({'alg': 'HS256', 'typ': TYPE}))}.{_b64(text)}"
    return f"{signed}.{_b64(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


async def test_d3_a_made_up_token_is_nobody(api: Api) -> None:
    """Only a token of exactly our form, signed with our secret and within its time, is anybody's."""
    await issue(api)
    seen = {}
    for attack, make in ATTACKS.items():
        token = make()
        answer = await call_with(api, token, "GET", "/v1/uploads")
        in_path = await api.client.get(f"/uppy/{token}/s3/multipart/{uuid4()}")
        assert token not in answer.text + in_path.text
        seen[attack] = (answer.status_code, answer.json()["code"], in_path.status_code)
    assert seen == dict.fromkeys(ATTACKS, (401, "unauthenticated", 401))


async def test_d3_a_good_signature_without_a_row_opens_nothing(api: Api) -> None:
    """A token that was signed and never issued reaches no upload: whoever lost the secret still lost no files."""
    token = forge()
    assert (await create_with(api, token, b"x")).status_code == 401
    assert (await call_with(api, token, "GET", "/v1/uploads")).status_code == 401


async def test_a_revoked_token_ends_at_once(api: Api) -> None:
    """After DELETE a token creates nothing and no longer reaches what it created."""
    issued = await issue(api)
    created = (await create_with(api, issued["token"], b"x")).json()
    path = f"/v1/uploads/{created['upload_id']}"
    assert (await call_with(api, issued["token"], "GET", path)).status_code == 200
    for _ in range(2):
        assert (await api.call("DELETE", f"/v1/upload-tokens/{issued['token_id']}")).status_code == 204
    for method, where in (("GET", path), ("GET", "/v1/uploads"), ("POST", f"{path}/complete"), ("DELETE", path)):
        answer = await call_with(api, issued["token"], method, where)
        assert (answer.status_code, answer.json()["detail"]) == (401, "The upload token was revoked.")
    assert (await create_with(api, issued["token"], b"x")).status_code == 401
    assert (await api.call("GET", path)).status_code == 200


async def test_revoking_a_key_ends_its_tokens(api: Api) -> None:
    """A token lives no longer than the key that made it."""
    from gateway.auth.api_keys import parse_key
    from gateway.database import api_keys

    issued = await issue(api)
    created = (await create_with(api, issued["token"], b"x")).json()
    await api_keys.revoke(api.gateway.database, parse_key(await api.key()).key_id)
    answer = await call_with(api, issued["token"], "GET", f"/v1/uploads/{created['upload_id']}")
    assert answer.status_code == 401
    assert (await create_with(api, issued["token"], b"x")).status_code == 401


async def test_tokens_of_another_tenant_are_not_found(api: Api) -> None:
    """A backend lists, reads and revokes its own tokens only."""
    issued = await issue(api, "rival", max_files=3, metadata={"a": "b"})
    path = f"/v1/upload-tokens/{issued['token_id']}"
    for method in ("GET", "DELETE"):
        assert (await api.call(method, path)).status_code == 404
    assert (await api.call("GET", "/v1/upload-tokens")).json() == {"tokens": [], "next_cursor": None}
    kept = (await api.call("GET", path, tenant="rival")).json()
    assert (kept["max_files"], kept["metadata"], kept["file_count"], kept["revoked_at"]) == (3, {"a": "b"}, 0, None)
    assert "token" not in kept


async def test_tokens_are_listed_in_pages(api: Api) -> None:
    """The newest token comes first, and a cursor leads to the next page."""
    ids = [(await issue(api))["token_id"] for _ in range(3)]
    page = (await api.call("GET", "/v1/upload-tokens?limit=2")).json()
    rest = (await api.call("GET", f"/v1/upload-tokens?cursor={page['next_cursor']}")).json()
    assert [token["token_id"] for token in page["tokens"] + rest["tokens"]] == ids[::-1]
    assert (await api.call("GET", "/v1/upload-tokens?cursor=x")).status_code == 422


async def test_d5_fifty_creates_at_once_give_as_many_uploads_as_allowed(api: Api) -> None:
    """Of 50 parallel creates with a token for 7 files, exactly 7 succeed; an aborted one makes room for one."""
    issued = await issue(api, max_files=7)
    answers = await gather(*(create_with(api, issued["token"], b"x") for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [403] * 43
    refused = next(answer for answer in answers if answer.status_code == 403)
    assert refused.json()["code"] == "token_exhausted"
    token = (await api.call("GET", f"/v1/upload-tokens/{issued['token_id']}")).json()
    assert token["file_count"] == 7
    created = next(answer.json() for answer in answers if answer.status_code == 201)
    assert (await call_with(api, issued["token"], "DELETE", f"/v1/uploads/{created['upload_id']}")).status_code == 204
    again = await gather(*(create_with(api, issued["token"], b"x") for _ in range(5)))
    assert sorted(answer.status_code for answer in again) == [201] + [403] * 4


async def test_d6_a_repeated_create_uses_up_one_file(api: Api) -> None:
    """The same Idempotency-Key gives the same upload even when the token has no files left, and is each token's own."""
    first, second = (await issue(api, max_files=1))["token"], (await issue(api, max_files=1))["token"]
    headers = {"idempotency-key": "k"}
    wanted = {"filename": "a.mp3", "size_bytes": 1}
    answers = [
        await call_with(api, token, "POST", "/v1/uploads", json=wanted, headers=headers)
        for token in (first, first, second)
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    ids = [answer.json()["upload_id"] for answer in answers]
    assert ids[0] == ids[1] != ids[2]


async def test_a_token_limits_the_size(api: Api) -> None:
    """A declared size over the token's limit is refused at create."""
    token = (await issue(api, max_size_bytes=1000))["token"]
    answer = await create_with(api, token, b"x" * 1001)
    assert (answer.status_code, answer.json()["max_size_bytes"]) == (413, 1000)
    assert (await create_with(api, token, b"x" * 1000)).status_code == 201


IMPOSSIBLE: list[dict[str, Any]] = [
    {"expires_in_seconds": None},
    {"expires_in_seconds": 0},
    {"expires_in_seconds": 7 * 86_400 + 1},
    {"expires_in_seconds": True},
    {"expires_in_seconds": "60"},
    {"policy": "everything"},
    {"max_files": 0},
    {"max_size_bytes": 0},
    {"max_size_bytes": 2**63},
    {"metadata": {"a": 1}},
    {"metadata": {str(n): "" for n in range(33)}},
    {"tenant_id": "rival"},
    *(
        {"allowed_origins": [origin]}
        for origin in (
            "*",
            "null",
            "https://*.example.com",
            "app.example.com",
            "https://app.example.com/",
            "https://",
            "https://APP.example.com",
            "https://a@example.com",
            "https://a.example.com:x",
            "ftp://a",
            "https://a b",
            "https://a\r\nx: y",
        )
    ),
]


async def test_a_token_that_cannot_be_is_refused(api: Api) -> None:
    """Limits, names and origins are checked before anything is signed."""
    for wanted in IMPOSSIBLE:
        answer = await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60, **wanted})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), wanted
    assert (await api.call("GET", "/v1/upload-tokens")).json()["tokens"] == []


async def test_without_a_secret_tokens_are_off(open_api: OpenApi) -> None:
    """A gateway without a token secret says what to set, and takes no token at all."""
    api = await open_api()
    answer = await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 60})
    assert (answer.status_code, answer.json()["code"]) == (501, "not_configured")
    assert "GATEWAY_TOKEN_SECRET" in answer.json()["detail"]
    assert (await call_with(api, forge(), "GET", "/v1/uploads")).status_code == 401


async def test_a_new_secret_accepts_tokens_of_the_one_before(open_api: OpenApi) -> None:
    """During a change of secrets old tokens go on, new ones are signed anew, and without the old secret they end."""
    old, new = _secret(SECRET), _secret("another secret of more than thirty-two characters")
    before, during, after = (
        await open_api(token_secret=old),
        await open_api(token_secret=new, token_secret_previous=old),
        await open_api(token_secret=new),
    )
    during.keys = after.keys = before.keys
    token, later = (await issue(before))["token"], (await issue(during))["token"]
    statuses = [
        (await call_with(api, text, "GET", "/v1/uploads")).status_code
        for api, text in (
            (before, token),
            (before, later),
            (during, token),
            (during, later),
            (after, token),
            (after, later),
        )
    ]
    assert statuses == [200, 401, 200, 200, 401, 200]


async def test_d7_a_token_is_for_pages_of_its_origins(api: Api) -> None:
    """A page of another origin gets 403 and may not read even that; programs, which send no origin, go on."""
    issued = await issue(api, allowed_origins=[ORIGIN])
    good = await call_with(api, issued["token"], "GET", "/v1/uploads", headers={"origin": ORIGIN})
    assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, ORIGIN)
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", "http://app.example.com"):
        bad = await call_with(api, issued["token"], "GET", "/v1/uploads", headers={"origin": origin})
        assert bad.status_code == 403
        assert "access-control-allow-origin" not in bad.headers
    assert (await call_with(api, issued["token"], "GET", "/v1/uploads")).status_code == 200


async def test_d7_an_expired_token_can_be_read_as_such(api: Api) -> None:
    """The page that a token was made for may read that it has expired."""
    token = forge(exp=int(datetime.now(UTC).timestamp()) - 10, origins=[ORIGIN])
    answer = await call_with(api, token, "GET", "/v1/uploads", headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert "expired" in answer.json()["detail"]


async def test_g3_no_token_reaches_a_log_or_the_database(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """A token in a path or a header is in no log line, no answer but its own, and no row."""
    caplog.set_level("DEBUG")
    token = (await issue(api))["token"]
    await api.client.get(f"/uppy/{token}/s3/multipart/{uuid4()}")
    await api.client.get(f"/uppy/{token}/nothing")
    await api.client.get(f"/uppy/{token}/s3/params?filename=a.exe")
    await create_with(api, token, b"x")
    ours = [record for record in caplog.records if record.name.startswith(("gateway", "uvicorn"))]
    assert ours
    # httpx, the client in this very process, is configured to be silent by `gateway serve`.
    assert not [record for record in ours if token.split(".")[2] in f"{record.getMessage()}{vars(record)}"]
    row = await api.gateway.database.fetch_one("SELECT string_agg(t::text, ' ') AS text FROM upload_tokens t", {})
    assert row is not None
    assert token.split(".")[2] not in row["text"]
