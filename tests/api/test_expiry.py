"""An upload expires by its activity, and can be completed until the sweep took it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.maintenance.sweep import sweep
from tests.api.conftest import Api, OpenApi, mp3_bytes

DAY = 86_400


async def age(api: Api, upload_id: str, seconds: float) -> None:
    """Make an upload older, as if it had been created earlier and nothing had happened since."""
    await api.gateway.database.execute(
        """UPDATE uploads SET created_at = created_at - make_interval(secs => %(seconds)s),
            expires_at = expires_at - make_interval(secs => %(seconds)s) WHERE id = %(id)s""",
        {"seconds": seconds, "id": upload_id},
    )


async def sign(api: Api, created: dict[str, Any]) -> int:
    """Sign the first part again and return the status."""
    path = f"/v1/uploads/{created['upload_id']}/parts/sign"
    return (await api.call("POST", path, json={"part_numbers": [1]})).status_code


async def expiry(api: Api, created: dict[str, Any]) -> datetime:
    """Return when the upload expires."""
    return datetime.fromisoformat((await api.get(created["upload_id"]))["expires_at"])


async def test_h26_signing_keeps_an_upload_alive(api: Api) -> None:
    """An upload that signs a part every 20 hours is open after three days; it becomes ready."""
    body = mp3_bytes()
    created = await api.create(body)
    for _ in range(4):
        await age(api, created["upload_id"], 20 * 3600)
        assert await sign(api, created) == 200
        assert await expiry(api, created) > datetime.now(UTC) + timedelta(seconds=DAY - 60)
    await api.put(created, body)
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_h26_activity_has_an_end(api: Api) -> None:
    """However active, an upload expires seven days after its creation: parts cost money in the store."""
    created = await api.create(mp3_bytes())
    for _ in range(8):
        await age(api, created["upload_id"], 20 * 3600)
        assert await sign(api, created) == 200
    # Six days and 16 hours old: eight hours are left.
    left = await expiry(api, created) - datetime.now(UTC)
    assert timedelta(hours=7) < left <= timedelta(hours=8)
    await age(api, created["upload_id"], 9 * 3600)
    assert await sign(api, created) == 410


async def test_h26_without_activity_it_expires(api: Api) -> None:
    """Nothing signs a part of an expired upload, and no question about it makes it live longer."""
    created = await api.create(mp3_bytes())
    before = await expiry(api, created)
    assert await expiry(api, created) == before
    await age(api, created["upload_id"], DAY + 1)
    assert await sign(api, created) == 410


async def test_h26_a_young_upload_is_not_written_for_each_signature(api: Api) -> None:
    """Signing writes no row while most of the time is left."""
    created = await api.create(mp3_bytes())
    before = await expiry(api, created)
    assert await sign(api, created) == 200
    assert await expiry(api, created) == before


async def test_h26_all_parts_there_complete_works_until_the_sweep(api: Api) -> None:
    """The client slept past the expiry: its parts are all in the store, so nothing has to be sent again."""
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    await age(api, created["upload_id"], DAY + 3600)
    assert (await api.complete(created)).json()["state"] == "ready"


async def test_h26_after_the_sweep_it_is_gone(api: Api) -> None:
    """Once the sweep expired it, complete is 410 and nothing of it is left."""
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    await age(api, created["upload_id"], DAY + 3600)
    assert (await sweep(api.gateway))["expired"] == 1
    assert (await api.complete(created)).status_code == 410


async def test_h26_a_late_upload_does_not_pass_the_limit_of_its_token(open_api: OpenApi) -> None:
    """One minute after its expiry an upload gives its place back; it cannot be completed beside the next one."""
    api: Api = await open_api(token_secret=SecretStr("a-secret-of-at-least-32-characters-x"))
    made = await api.call("POST", "/v1/upload-tokens", json={"expires_in_seconds": 7 * DAY, "max_files": 1})
    bearer = {"authorization": f"Bearer {made.json()['token']}"}
    body = mp3_bytes()
    wanted = {"filename": "talk.mp3", "size_bytes": len(body)}
    first = (await api.client.post("/v1/uploads", json=wanted, headers=bearer)).json()
    await api.put(first, body)
    await age(api, first["upload_id"], DAY + 120)
    second = (await api.client.post("/v1/uploads", json=wanted, headers=bearer)).json()
    await api.put(second, body)
    late = await api.client.post(f"/v1/uploads/{first['upload_id']}/complete", headers=bearer)
    assert late.status_code == 410
    done = await api.client.post(f"/v1/uploads/{second['upload_id']}/complete", headers=bearer)
    assert done.json()["state"] == "ready"


async def test_h26_half_a_received_file_is_not_completed_late(api: Api) -> None:
    """The process that received a form died; its parts are half a file, which nobody may complete after the expiry."""
    body = mp3_bytes()
    created = await api.create(body)
    await api.put(created, body)
    await api.gateway.database.execute(
        """UPDATE uploads SET stream_token = gen_random_uuid(), stream_until = now() - interval '1 s',
            expires_at = now() - interval '1 s' WHERE id = %(id)s""",
        {"id": created["upload_id"]},
    )
    assert (await api.complete(created)).status_code == 410


@pytest.mark.parametrize("seconds", [0, DAY - 1])
def test_h26_the_longest_life_is_not_shorter_than_the_shortest(seconds: int) -> None:
    """The two settings must fit together."""
    from gateway.settings import Settings

    with pytest.raises(ValueError, match=r"UPLOAD_MAX_SECONDS|greater than or equal to 60"):
        Settings(_env_file=None, upload_max_seconds=seconds)
