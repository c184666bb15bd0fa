"""Download: a link to exactly the checked content, for whoever may have it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.domain.errors import Forbidden, NotFound, ObjectChanged, WrongState
from gateway.domain.principal import Principal
from gateway.domain.upload import State, Upload
from gateway.storage.errors import NoSuchKey, StoreUnavailable
from gateway.uploads.complete import complete
from gateway.uploads.download import can_download, download
from tests.unit.uploads.conftest import ACME, OTHER, World, wav


async def _ready(world: World, principal: Principal = ACME) -> Upload:
    upload = await world.created(wav(), principal)
    world.put(upload, wav())
    return await complete(world.gateway, principal, upload.id)


def _query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_link_saves_the_file_under_its_name_and_type(world: World, method: Any) -> None:
    """Key, name, type and lifetime are signed into the URL."""
    ready = await _ready(world)
    signed = await download(world.gateway, ACME, ready.id, method=method)
    query = _query(signed.url)
    assert (signed.method, urlsplit(signed.url).path) == (method, f"/b/{ready.object_key}")
    assert query["response-content-disposition"] == 'attachment; filename="a.wav"'
    assert query["response-content-type"] == "audio/vnd.wave"
    assert query["X-Amz-Expires"] == "300"
    assert "versionId" not in query
    assert signed.expires_at == world.clock() + timedelta(seconds=300)
    assert (await download(world.gateway, ACME, ready.id)).method == "GET"


async def test_a_link_lives_at_least_a_second(world: World) -> None:
    """A lifetime of less than a second would be a URL that never works."""
    ready = await _ready(world)
    signed = await download(world.with_policy(download_url_seconds=0.5), ACME, ready.id)
    assert _query(signed.url)["X-Amz-Expires"] == "1"


async def test_a_checked_version_is_named_in_the_link(world: World) -> None:
    """A later write under the same key is not what is downloaded, and the store is asked for that version."""
    ready = await _ready(world)
    world.uploads.rows[ready.id] = replace(ready, observed_version_id="v1")
    asked: list[Any] = []
    original = world.store.head_object

    async def head_object(key: str, **more: Any) -> Any:
        asked.append((key, more))
        return await original(key, **more)

    world.store.head_object = head_object  # type: ignore[method-assign]  # a spy
    signed = await download(world.gateway, ACME, ready.id)
    assert _query(signed.url)["versionId"] == "v1"
    assert asked == [(ready.object_key, {"if_match": ready.observed_etag, "version_id": "v1"})]


async def test_a_replaced_or_lost_object_gets_no_link(world: World) -> None:
    """The content under the key is compared with the one that was checked."""
    changed, lost = await _ready(world), await _ready(world)
    world.store.put(changed.object_key, wav(2600))
    with pytest.raises(ObjectChanged):
        await download(world.gateway, ACME, changed.id)
    del world.store.objects[lost.object_key]
    with pytest.raises(ObjectChanged):
        await download(world.gateway, ACME, lost.id)


async def test_a_404_that_the_store_does_not_confirm_is_an_outage(world: World) -> None:
    """A proxy may answer 404 while the store restarts: the file is not called changed."""
    ready = await _ready(world)
    named: list[Any] = []

    async def unconfirmed(key: str, *_: Any, **more: Any) -> Any:
        named.append((key, more.get("version_id")))
        raise NoSuchKey

    world.uploads.rows[ready.id] = replace(ready, observed_version_id="v1")
    world.store.head_object = unconfirmed  # type: ignore[method-assign]  # a proxy's answer
    world.store.get_object_range = unconfirmed  # type: ignore[method-assign]  # likewise
    with pytest.raises(StoreUnavailable):
        await download(world.gateway, ACME, ready.id)
    assert named == [(ready.object_key, "v1")] * 2


async def test_only_a_ready_upload_in_the_store_can_be_downloaded(world: World) -> None:
    """An open upload and a file on the gateway's disk are WrongState, each with its state."""
    upload = await world.sent(wav())
    with pytest.raises(WrongState, match=r"The upload is uploading, not ready\.") as raised:
        await download(world.gateway, ACME, upload.id)
    assert raised.value.fields == {"state": "uploading"}
    ready = await _ready(world)
    world.uploads.rows[ready.id] = replace(ready, path="/uploads/a.wav")
    with pytest.raises(WrongState, match="on the gateway's disk") as raised:
        await download(world.gateway, ACME, ready.id)
    assert raised.value.fields == {"state": "ready"}


async def test_only_the_tenant_downloads(world: World) -> None:
    """Another tenant meets NotFound."""
    ready = await _ready(world)
    with pytest.raises(NotFound):
        await download(world.gateway, OTHER, ready.id)


async def test_a_token_downloads_only_if_it_was_made_for_it(world: World) -> None:
    """Without `allow_download` even its own file is Forbidden, and no link is offered."""
    bearer = world.bearer()
    ready = await _ready(world, bearer)
    with pytest.raises(Forbidden, match="may not download"):
        await download(world.gateway, bearer, ready.id)
    assert not can_download(bearer, ready)
    assert bearer.token is not None
    allowed = replace(bearer, token=replace(bearer.token, allow_download=True))
    assert (await download(world.gateway, allowed, ready.id)).url
    assert can_download(allowed, ready)


async def test_a_link_is_offered_exactly_where_download_gives_one(world: World) -> None:
    """Ready and in the store: neither before, nor for a file on the disk."""
    ready = await _ready(world)
    assert can_download(ACME, ready)
    assert not can_download(ACME, replace(ready, state=State.VALIDATING))
    assert not can_download(ACME, replace(ready, path="/uploads/a.wav"))
