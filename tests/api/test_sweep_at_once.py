"""A sweep is as slow as its slowest upload, not as all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dev.store import StoreServer
from gateway.maintenance.sweep import sweep
from tests.api.conftest import Api, OpenApi
from tests.holding_proxy import HoldingProxy


@pytest.fixture
def proxy(store_server: StoreServer) -> Iterator[HoldingProxy]:
    """Stand between gateway and store and hold the first abort."""
    with HoldingProxy(store_server.endpoint, "AbortMultipartUpload", "before").running() as running:
        yield running


async def _unclean(api: Api) -> list[str]:
    rows = await api.gateway.database.fetch_all("SELECT id FROM uploads WHERE cleanup_pending", {})
    return [str(row["id"]) for row in rows]


async def _abandon(api: Api, count: int) -> list[str]:
    made = [str((await api.create(b"x"))["upload_id"]) for _ in range(count)]
    await api.gateway.database.execute(
        "UPDATE uploads SET state = 'aborted', cleanup_pending = true, updated_at = now() - interval '1 day'", {}
    )
    return made


async def test_a_store_that_is_slow_with_one_upload_does_not_hold_up_the_others(
    open_api: OpenApi, proxy: HoldingProxy
) -> None:
    """While the first abort is held, all the others are cleaned; then it is cleaned too."""
    api: Api = await open_api(s3_endpoint=proxy.address, s3_timeout_seconds=30.0)
    await _abandon(api, 12)
    sweeping = asyncio.create_task(sweep(api.gateway))
    async with asyncio.timeout(20):
        while len(await _unclean(api)) > 1:
            await asyncio.sleep(0.02)
        assert not sweeping.done()
        proxy.let_go()
        assert (await sweeping)["unclean"] == 12
    assert await _unclean(api) == []


async def test_an_upload_that_fails_stops_no_other_and_is_tried_again(api: Api, tmp_path: Path) -> None:
    """Whatever goes wrong with one, foreseen or not, the others are cleaned, and the next sweep takes it up again."""
    made = await _abandon(api, 4)
    in_the_way = tmp_path / "folder"
    in_the_way.mkdir()
    (in_the_way / "file").touch()
    await api.gateway.database.execute(
        "UPDATE uploads SET path = %(path)s, multipart_upload_id = NULL WHERE id = %(id)s",
        {"path": str(in_the_way), "id": made[0]},
    )
    assert (await sweep(api.gateway))["unclean"] == 3
    assert await _unclean(api) == [made[0]]
    (in_the_way / "file").unlink()
    in_the_way.rmdir()
    await api.gateway.database.execute("UPDATE uploads SET updated_at = now() - interval '1 day'", {})
    assert (await sweep(api.gateway))["unclean"] == 1
