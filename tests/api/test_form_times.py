"""How long an upload waits for its form, and what becomes of a form that comes at the end of it or later."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from pydantic import SecretStr

from gateway.database import post_uploads
from gateway.maintenance.post_uploads import complete_arrived_posts, remove_late_posts
from gateway.maintenance.sweep import expire, sweep
from tests.api.conftest import Api, OpenApi, mp3_bytes
from tests.api.test_companion import Uppy
from tests.api.uploaders import SECRET, create_with, issue

HOUR = 3600.0
FORM_SECONDS = 900.0


@pytest_asyncio.fixture
async def api(open_api: OpenApi) -> Api:
    """Give the API with upload tokens."""
    started: Api = await open_api(token_secret=SecretStr(SECRET))
    return started


@pytest_asyncio.fixture
async def uppy(api: Api) -> Uppy:
    """Give an uploader whose token is good for one file."""
    return Uppy(api, (await issue(api, max_files=1))["token"])


async def pass_time(api: Api, seconds: float) -> None:
    """Let every upload be as if it had been created so much earlier."""
    await api.gateway.database.execute(
        """UPDATE uploads SET created_at = created_at - make_interval(secs => %(s)s),
            updated_at = updated_at - make_interval(secs => %(s)s),
            expires_at = expires_at - make_interval(secs => %(s)s)""",
        {"s": seconds},
    )


def life(upload: dict[str, Any]) -> float:
    """Give the seconds from create to expiry."""
    begun, end = (datetime.fromisoformat(upload[name]) for name in ("created_at", "expires_at"))
    return (end - begun).total_seconds()


def held(api: Api, boto3_s3: Any, key: str) -> int:
    """Count the objects at a key."""
    count: int = boto3_s3.list_objects_v2(Bucket=api.settings.s3_bucket, Prefix=key)["KeyCount"]
    return count


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({}, FORM_SECONDS + HOUR),
        ({"size": "1000"}, FORM_SECONDS + HOUR),
        ({"size": str(1 << 30)}, FORM_SECONDS + 32768),
    ],
)
async def test_upload_waits_for_its_form_as_long_as_one_may_come(
    api: Api, uppy: Uppy, metadata: dict[str, str], seconds: float
) -> None:
    """An hour after the form's end, longer for a size that is known to take longer, never longer than parts."""
    form = await uppy.form(**metadata)
    assert life(await api.get(form["uploadId"])) == seconds
    assert life(await api.create(b"x")) == 86_400


async def test_short_lives_stay_short(open_api: OpenApi) -> None:
    """A form never makes an upload live longer than the operator lets any live."""
    api = await open_api(token_secret=SecretStr(SECRET), upload_seconds=600)
    form = await Uppy(api, (await issue(api))["token"]).form()
    assert form["expires"] <= 300
    assert life(await api.get(form["uploadId"])) == 600


async def test_a_form_that_died_gives_its_file_back(api: Api, uppy: Uppy, boto3_s3: Any) -> None:
    """After an empty file a token for one file is good again once no form can come, also before the sweeper's turn."""
    form = await uppy.form()
    assert (await uppy.send(form, b"")).status_code == 400
    token = uppy.base.split("/")[2]
    assert (await create_with(api, token, mp3_bytes())).status_code == 403
    await pass_time(api, FORM_SECONDS + HOUR + 61)
    # What comes so late is not found: the row is nobody's to claim, so it can be given back.
    assert (await uppy.send(form, mp3_bytes())).status_code == 201
    assert await complete_arrived_posts(api.gateway) == 0
    created = await create_with(api, token, mp3_bytes())
    assert created.status_code == 201
    assert (await create_with(api, token, mp3_bytes())).status_code == 403
    assert (await api.get(form["uploadId"]))["state"] == "uploading"
    await sweep(api.gateway)
    assert (await api.get(form["uploadId"]))["state"] == "expired"
    assert held(api, boto3_s3, form["fields"]["key"]) == 0
    assert (await create_with(api, token, mp3_bytes())).status_code == 403


async def test_a_form_that_comes_after_its_upload_expired_is_removed(api: Api, uppy: Uppy, boto3_s3: Any) -> None:
    """A POST that took longer than its upload lived leaves nothing in the store, though that was cleaned before."""
    form = await uppy.form()
    await pass_time(api, FORM_SECONDS + HOUR + 1)
    await sweep(api.gateway)
    assert (await uppy.send(form, mp3_bytes())).status_code == 201
    await sweep(api.gateway)
    assert (await api.get(form["uploadId"]))["state"] == "expired"
    await pass_time(api, 24 * HOUR)
    assert await remove_late_posts(api.gateway) == 1
    assert held(api, boto3_s3, form["fields"]["key"]) == 0


async def test_looks_are_frequent_again_before_the_end(api: Api, uppy: Uppy) -> None:
    """A form that comes in the last seconds is found and finished."""
    form = await uppy.form()
    await pass_time(api, FORM_SECONDS + HOUR - 20)
    await api.gateway.database.execute("UPDATE uploads SET updated_at = now() - interval '3 s'", {})
    assert (await uppy.send(form, mp3_bytes())).status_code == 201
    assert await complete_arrived_posts(api.gateway) == 1
    assert (await api.get(form["uploadId"]))["state"] == "ready"


async def test_a_form_at_the_very_end_is_ready_or_gone(api: Api, boto3_s3: Any) -> None:
    """Whoever wins, a look or the sweeper: the file is ready, or expired with nothing left of it."""
    seen = set()
    for n in range(6):
        uppy = Uppy(api, (await issue(api))["token"])
        form = await uppy.form()
        await uppy.send(form, mp3_bytes())
        left = {"id": form["uploadId"], "s": n * 0.02}
        await api.gateway.database.execute(
            "UPDATE uploads SET expires_at = now() + make_interval(secs => %(s)s) WHERE id = %(id)s", left
        )

        async def end(upload_id: str) -> None:
            for _ in range(40):
                if await expire(api.gateway, UUID(upload_id)):
                    return
                await asyncio.sleep(0.005)

        await asyncio.gather(api.arrived(form["uploadId"]), end(form["uploadId"]))
        await sweep(api.gateway)
        upload = await api.get(form["uploadId"])
        seen.add(upload["state"])
        assert held(api, boto3_s3, upload["object_key"]) == (upload["state"] == "ready")
        assert held(api, boto3_s3, form["fields"]["key"]) == 0
        assert await post_uploads.claim_due_checks(api.gateway.database, limit=10) == []
    assert seen <= {"ready", "expired"}
