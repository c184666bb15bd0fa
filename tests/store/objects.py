"""Write whole objects in tests: the gateway itself writes only parts."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.storage.s3 import S3Store
from gateway.storage.transport import Call
from tests.store.adapters import AnyStore


async def put_object(
    store: AnyStore,
    key: str,
    body: bytes,
    *,
    content_type: str,
    metadata: Mapping[str, str] | None = None,
    if_none_match: bool = False,
) -> str:
    """Store a small object through any of the clients and return its etag."""
    if not isinstance(store, S3Store):
        given = {"content_type": content_type, "metadata": metadata, "if_none_match": if_none_match}
        return await store.put_object(key, body, **given)  # type: ignore[arg-type]
    headers = {"content-type": content_type}
    headers |= {f"x-amz-meta-{name.lower()}": value for name, value in (metadata or {}).items()}
    if if_none_match:
        headers["if-none-match"] = "*"
    answer = await store._transport.call(Call("PutObject", "PUT", key, (), headers, body, len(body)))
    return answer.headers["ETag"].strip('"')


async def read_object(store: AnyStore, key: str, if_match: str | None = None) -> bytes:
    """Read a whole object."""
    head = await store.head_object(key, if_match=if_match)
    if head.size_bytes == 0:
        return b""
    return await store.get_object_range(key, 0, head.size_bytes, if_match=if_match)
