"""Places for files that the gateway receives, and for event streams, are shared between tokens and tenants."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from gateway.settings import Settings
from tests.api.conftest import MIB, OpenApi, large_mp3
from tests.api.live import of, watching
from tests.api.live import serve as serve_live
from tests.api.streaming import BOUNDARY, Served, form_body, serve
from tests.api.uploaders import SECRET, call_with, create_with, issue


async def _begin(served: Served, bearer: str, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    lines = ["POST /upload/stream HTTP/1.1", "Host: a", f"Authorization: Bearer {bearer}"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[:1000])
    return reader, writer


async def test_j7_slow_forms_of_one_token_leave_room_for_its_tenant_and_for_others(
    open_api: OpenApi, tmp_path: Path
) -> None:
    """With 8 places a token holds 3 of its tenant's 6: a second token, the key and another tenant are served."""
    api = await open_api(
        upload_stream_destination="store",
        upload_dir=tmp_path,
        upload_stream_buffers=8,
        token_secret=SecretStr(SECRET),
    )
    greedy, other = [(await issue(api))["token"] for _ in range(2)]
    file = large_mp3(9000)
    async with serve(api) as served, served.as_tenant("globex") as globex:
        body = form_body(large_mp3(MIB))
        begun = []
        for count in range(1, 4):
            begun.append(await _begin(served, greedy, body))
            while len(await served.uploads()) < count:
                await asyncio.sleep(0.02)
        form = {"files": {"file": ("tone.mp3", file, "audio/mpeg")}}
        refused = await served.client.post("/upload/stream", headers={"authorization": f"Bearer {greedy}"}, **form)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_receivers")
        assert "upload token" in refused.json()["detail"]
        for client, bearer in ((served.client, other), (served.client, served.key), (globex.client, globex.key)):
            answer = await client.post("/upload/stream", headers={"authorization": f"Bearer {bearer}"}, **form)
            assert answer.status_code == 201, answer.text
        for reader, writer in begun:
            writer.write(body[1000:])
            assert (await reader.readline()).split()[1] == b"201"
            writer.close()


async def test_j7_event_streams_of_one_token_leave_room_for_its_tenant(settings: Settings) -> None:
    """A token that opens event streams without end is refused while its tenant and another one still can watch."""
    changed = {"max_streams": 16, "max_streams_per_tenant": 16, "token_secret": SecretStr(SECRET)}
    async with serve_live(settings.model_copy(update=changed)) as api, AsyncExitStack() as stack:
        token = (await issue(api))["token"]
        path = of((await create_with(api, token, b"x")).json())
        headers = {"authorization": f"Bearer {token}"}
        for _ in range(6):
            stream = await stack.enter_async_context(api.client.stream("GET", path, headers=headers))
            assert stream.status_code == 200
        refused = await call_with(api, token, "GET", path)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_watchers")
        await stack.enter_async_context(watching(api, "/v1/events"))
        await stack.enter_async_context(watching(api, "/v1/events", tenant="other"))
