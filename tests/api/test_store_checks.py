"""I1, I4, I5: what the probes of the store find decides which uploads are created."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.startup.attacks import send_half
from gateway.storage.presign import SignedRequest
from gateway.storage.store_checks import ProbeResult
from tests.api.conftest import MIB, Api, OpenApi, large_mp3, mp3_bytes
from tests.store.versitygw import running_versitygw

EXPOSING = ProbeResult("copy_source", "a copy", "bad", "it was copied.", "Use three keys.", exposes_files=True)
HALF = ProbeResult("half_part", "half a part", "bad", "it is kept.", "Require checksums.", keeps_half_parts=True)


async def _probed(api: Api) -> None:
    """Wait until the probes of the start are done."""
    for _ in range(300):
        if api.gateway.store_checks.results:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the probes did not end")


async def test_i1_an_exposed_store_takes_no_uploads(api: Api) -> None:
    """No route hands out a URL of a store that exposes files; what is ready can be downloaded."""
    ready = await api.ready(mp3_bytes())
    open_upload = await api.create(mp3_bytes())
    api.gateway.store_checks.finish((EXPOSING,))
    wanted = {"filename": "a.mp3", "size_bytes": 1000}
    answers = [
        await api.call("POST", "/v1/uploads", json=wanted),
        await api.call("POST", f"/v1/uploads/{open_upload['upload_id']}/parts/sign", json={"part_numbers": [1]}),
        await api.call("POST", "/s3/multipart", json={"filename": "a.mp3"}),
        await api.call("GET", "/s3/params", params={"filename": "a.mp3"}),
    ]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["code"] == "store_unsafe"
    assert answers[0].headers["retry-after"] == "60"
    found = await api.call("GET", f"/v1/uploads/{ready['upload_id']}/download", headers={"accept": "application/json"})
    assert found.status_code == 200


async def test_i1_warn_keeps_uploads_running(open_api: OpenApi) -> None:
    """With GATEWAY_UNSAFE_STORE=warn the same finding refuses nothing."""
    api = await open_api(unsafe_store="warn")
    api.gateway.store_checks.finish((EXPOSING,))
    assert (await api.ready(mp3_bytes()))["state"] == "ready"


async def test_i1_who_has_a_key_reads_the_probes(api: Api) -> None:
    """`/readyz` shows the findings to the holder of an API key and to nobody else."""
    api.gateway.store_checks.finish((EXPOSING,))
    shown = (await api.call("GET", "/readyz")).json()["store_probes"]
    assert shown == [
        {
            "name": "copy_source",
            "tried": "a copy",
            "status": "bad",
            "found": "it was copied.",
            "cure": "Use three keys.",
        }
    ]
    for headers in ({}, {"authorization": "Bearer nobody-has-this-key"}):
        assert "store_probes" not in (await api.client.get("/readyz", headers=headers)).json()


@pytest.mark.parametrize("by", ["setting", "probe", "token"])
async def test_i5_required_checksums_refuse_every_upload_without_them(open_api: OpenApi, by: str) -> None:
    """By setting, probe or token: an upload without part checksums is refused at create, Uppy's with the reason."""
    setting = "required" if by == "setting" else "optional"
    api = await open_api(part_checksums=setting, token_secret=SecretStr("s" * 40))
    if by == "probe":
        api.gateway.store_checks.finish((HALF,))
    issued = await api.call(
        "POST",
        "/v1/upload-tokens",
        json={"expires_in_seconds": 60, "part_checksums": "required" if by == "token" else "optional"},
    )
    headers = {"authorization": f"Bearer {issued.json()['token']}"}
    wanted = {"filename": "a.mp3", "size_bytes": 1000}
    refused = [
        await api.client.post("/v1/uploads", json=wanted, headers=headers),
        await api.client.post("/s3/multipart", json={"filename": "a.mp3"}, headers=headers),
        await api.client.post("/s3xml", params={"uploads": "", "key": "a.mp3"}, headers=headers),
        await api.client.get("/s3/params", params={"filename": "a.mp3"}, headers=headers),
        await api.client.post("/uppy/sign", json={"method": "PUT", "key": "a.mp3"}, headers=headers),
    ]
    assert [answer.status_code for answer in refused] == [422] * 5, [answer.text for answer in refused]
    assert refused[0].json()["code"] == "part_checksums_required"
    assert "part_checksums" in refused[0].json()["detail"]
    assert all("gateway-upload.js" in answer.text for answer in refused[1:])
    taken = await api.client.post("/v1/uploads", json={**wanted, "part_checksums": "sha256"}, headers=headers)
    assert taken.status_code == 201, taken.text
    # The gateway sends the parts of a form itself, and completes only what it sent whole.
    form = {"file": ("tone.mp3", mp3_bytes(), "audio/mpeg")}
    assert (await api.client.post("/upload/stream", files=form, headers=headers)).status_code == 201


async def test_i5_without_a_requirement_nothing_changes(api: Api) -> None:
    """On a store that drops half a part, and by default, uploads without checksums are taken."""
    assert (await api.ready(mp3_bytes()))["state"] == "ready"


def _settings_of(server: StoreServer) -> dict[str, Any]:
    """Return parsed settings for a store, as `open_api` takes them."""
    given = server.settings()
    parsed = Settings(_env_file=None, **given)  # type: ignore[arg-type]
    return {name: getattr(parsed, name) for name in given}


@pytest.fixture
def half_keeping_store(tmp_path: Path) -> Iterator[StoreServer]:
    """Run versitygw."""
    folder = tmp_path / "versitygw"
    folder.mkdir()
    with running_versitygw(folder) as server:
        yield server


async def test_i4_half_a_part_is_never_ready(open_api: OpenApi, half_keeping_store: StoreServer) -> None:
    """On versitygw the probe requires checksums; a part whose sender died in the middle then never gets into a file."""
    api = await open_api(probe_store=True, **_settings_of(half_keeping_store))
    await _probed(api)
    found = {result.name: result for result in api.gateway.store_checks.results}
    assert (found["half_part"].status, found["half_part"].keeps_half_parts) == ("bad", True)
    body = large_mp3(6 * MIB)
    refused = await api.call("POST", "/v1/uploads", json={"filename": "tone.mp3", "size_bytes": len(body)})
    assert refused.json()["code"] == "part_checksums_required"
    created = await api.create(body, part_size_bytes=5 * MIB, part_checksums="sha256")
    pieces = [body[: 5 * MIB], body[5 * MIB :]]
    sums = [b64encode(sha256(piece).digest()).decode() for piece in pieces]
    parts = [{"part_number": number, "checksum_sha256": checksum} for number, checksum in enumerate(sums, 1)]
    signed = await api.call("POST", f"/v1/uploads/{created['upload_id']}/parts/sign", json={"parts": parts})
    first, second = signed.json()["parts"]
    await send_half(SignedRequest("PUT", first["url"], first["headers"], api.gateway.now()), len(pieces[0]))
    assert (await api.store.put(second["url"], content=pieces[1], headers=second["headers"])).status_code == 200
    answer = await api.complete(created)
    assert answer.status_code == 409, answer.text
    assert (await api.get(created["upload_id"]))["state"] == "uploading"
    assert (await api.store.put(first["url"], content=pieces[0], headers=first["headers"])).status_code == 200
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_i4_without_checksums_versitygw_would_keep_zeros(
    open_api: OpenApi, half_keeping_store: StoreServer
) -> None:
    """The same half of a part without a checksum is listed at its full size: why the requirement exists."""
    api = await open_api(**_settings_of(half_keeping_store))
    created = await api.create(bytes(MIB))
    [part] = created["parts"]
    await send_half(SignedRequest("PUT", part["url"], part["headers"], api.gateway.now()), MIB)
    listed = (await api.call("GET", f"/v1/uploads/{created['upload_id']}/parts")).json()["parts"]
    assert [found["size_bytes"] for found in listed] == [MIB]
