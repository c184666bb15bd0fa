"""Let the store fail in every way, and look at what the client makes of it."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.domain.errors import Unavailable
from gateway.storage.clock import StoreClock
from gateway.storage.errors import (
    AccessDenied,
    InvalidPart,
    NoSuchUpload,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from gateway.storage.models import CompletedPart, StoreConfig
from gateway.storage.presign import PartToSign, Presigner
from gateway.storage.s3 import S3Store, open_store
from gateway.storage.sigv4 import Credentials
from tests.store.fault_server import (
    XML,
    Behaviour,
    FaultServer,
    answer,
    deaf,
    early,
    endless,
    error,
    fault_server,
    hang,
    lose_answer,
    pass_on,
    reset,
)
from tests.store.objects import put_object

SECRET = "the-secret-of-the-tests"
KEY = "uploads/x.mp4"
PARTS = [CompletedPart(1, "e")]
CREATED = answer(200, f"{XML}<R><UploadId>u1</UploadId></R>")
COMPLETED = answer(200, f'{XML}   \n<R><ETag>"abc-1"</ETag></R>')
SLOW_DOWN = error(503, "SlowDown", "Please reduce your request rate")


def page(*numbers: int, truncated: bool = False, marker: int = 0) -> str:
    """Give a page of ListParts."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><Size>5</Size><ETag>&quot;e{number}&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Part>"
        for number in numbers
    )
    return (
        f'{XML}<ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<NextPartNumberMarker>{marker}</NextPartNumberMarker>"
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{listed}</ListPartsResult>"
    )


def config_of(endpoint: str, **changes: Any) -> StoreConfig:
    """Point at *endpoint*, impatiently."""
    given: dict[str, Any] = {
        "timeout_seconds": 0.5,
        "complete_timeout_seconds": 0.5,
        "retry_base_seconds": 0.001,
        "retry_cap_seconds": 0.002,
        "credentials": Credentials("AKID", SECRET),
        "bucket": "uploads",
        **changes,
    }
    return StoreConfig(endpoint, region="us-east-1", **given)


@asynccontextmanager
async def failing(*behaviours: Behaviour, **changes: Any) -> AsyncIterator[tuple[S3Store, FaultServer]]:
    """Open our client on a server that behaves so."""
    async with fault_server(*behaviours) as server, open_store(config_of(server.endpoint, **changes)) as store:
        yield store, server


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    """Give a body piece by piece."""
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    "fault",
    [
        SLOW_DOWN,
        error(500, "InternalError"),
        error(400, "RequestTimeout"),
        error(409, "OperationAborted"),
        error(429, "TooManyRequests"),
        answer(502, "<html>bad gateway</html>"),
        answer(503),
        reset,
        hang,
        answer(200, "<R><Upl", length=500),
        answer(200, "<R><UploadId>"),
        answer(200),
        answer(200, "not xml at all"),
    ],
)
async def test_b2_a_passing_fault_is_tried_again(fault: Behaviour) -> None:
    """A call succeeds after a fault that passes, and asks once more only."""
    async with failing(fault, CREATED) as (store, server):
        assert await store.create_multipart_upload(KEY, content_type="video/mp4") == "u1"
        assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [SLOW_DOWN, error(500, "InternalError"), reset, hang, answer(200, "<R", length=9)])
async def test_b2_a_lasting_fault_is_unavailable_after_bounded_tries(fault: Behaviour) -> None:
    """A store that keeps failing is StoreUnavailable after exactly the tries that are allowed."""
    async with failing(fault, max_attempts=4, timeout_seconds=0.1) as (store, server):
        with pytest.raises(StoreUnavailable) as caught:
            await store.list_parts(KEY, "u1")
        assert len(server.requests) == 4
        assert isinstance(caught.value, Unavailable)
        assert (caught.value.operation, caught.value.code) == ("ListParts", "store_unavailable")


async def test_b2_a_store_that_is_not_there_is_unavailable() -> None:
    """A refused connection is StoreUnavailable."""
    async with fault_server(CREATED) as server:
        endpoint = server.endpoint
    async with open_store(config_of(endpoint)) as store:
        with pytest.raises(StoreUnavailable):
            await store.head_bucket()
        with pytest.raises(StoreUnavailable):
            await store.get_object_range(KEY, 0, 1, if_match="e")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error(404, "NoSuchUpload"), NoSuchUpload),
        (error(400, "InvalidPart"), InvalidPart),
        (error(501, "NotImplemented"), StoreError),
        (error(400, "Whatever"), StoreError),
        (answer(301, Location="http://127.0.0.1:9/elsewhere"), StoreError),
        (answer(307, Location="/elsewhere"), StoreError),
    ],
)
async def test_a_refusal_is_not_tried_again(fault: Behaviour, expected: type[StoreError]) -> None:
    """What the store refuses for a reason is asked once; redirects are not followed."""
    async with failing(fault) as (store, server):
        with pytest.raises(expected):
            await store.complete_multipart_upload(KEY, "u1", PARTS)
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [error(507, "InsufficientStorage"), error(507, ""), error(500, "XMinioStorageFull")])
async def test_b9_a_full_store_is_named_and_not_pressed(fault: Behaviour) -> None:
    """A store without space is StoreFull at once: trying again would not make room."""
    async with failing(fault) as (store, server):
        with pytest.raises(StoreFull):
            await store.upload_part(KEY, "u1", 1, b"part", size_bytes=4)
        assert len(server.requests) == 1


async def test_a10_an_error_in_a_200_is_an_error() -> None:
    """CompleteMultipartUpload that answers 200 and then <Error> has failed."""
    async with failing(error(200, "InvalidPart")) as (store, _):
        with pytest.raises(InvalidPart):
            await store.complete_multipart_upload(KEY, "u1", PARTS)
    async with failing(error(200, "InternalError"), COMPLETED) as (store, server):
        assert await store.complete_multipart_upload(KEY, "u1", PARTS) == ("abc-1", None)
        assert len(server.requests) == 2
    async with failing(error(200, "SlowDown")) as (store, server):
        with pytest.raises(StoreUnavailable):
            await store.complete_multipart_upload(KEY, "u1", PARTS)
        assert len(server.requests) == 3


@pytest.mark.parametrize("body", ["<R/>", "<R><ETag></ETag></R>"])
async def test_a10_a_200_without_an_etag_is_an_error(body: str) -> None:
    """An answer that lacks what was asked for is no success."""
    async with failing(answer(200, body)) as (store, _):
        with pytest.raises(StoreError):
            await store.complete_multipart_upload(KEY, "u1", PARTS)
        with pytest.raises(StoreError):
            await store.upload_part(KEY, "u1", 1, b"x", size_bytes=1)
        with pytest.raises(StoreError):
            await store.create_multipart_upload(KEY, content_type="a/b")


@pytest.mark.store
async def test_a9_a_lost_answer_of_complete_leaves_a_whole_object(config: StoreConfig, ours: S3Store, key: str) -> None:
    """When the answer of complete is lost the second try agrees or finds no upload, and the object is there."""
    upload = await ours.create_multipart_upload(key, content_type="video/mp4", metadata={"token": "t1"})
    etag = await ours.upload_part(key, upload, 1, b"whole", size_bytes=5)
    async with failing(
        lose_answer(config.endpoint),
        pass_on(config.endpoint),
        credentials=config.credentials,
        bucket=config.bucket,
        timeout_seconds=5,
        complete_timeout_seconds=5,
    ) as (store, server):
        with suppress(NoSuchUpload):
            made = await store.complete_multipart_upload(key, upload, [CompletedPart(1, etag)])
            assert made.etag.endswith("-1")
        assert len(server.requests) == 2
    head = await ours.head_object(key)
    assert (head.size_bytes, dict(head.metadata)) == (5, {"token": "t1"})


@pytest.mark.parametrize("status", [400, 404, 503])
async def test_an_endless_error_answer_is_cut(status: int) -> None:
    """An error answer that does not end is judged by its status, and only 64 KiB of it are read."""
    async with failing(endless(status)) as (store, _):
        with pytest.raises((StoreError, StoreUnavailable)) as caught:
            await store.list_parts(KEY, "u1")
        assert caught.value.status == status


async def test_an_endless_answer_is_cut() -> None:
    """A good answer that does not end is an error, not memory."""
    async with failing(endless(200)) as (store, _):
        with pytest.raises(StoreError, match="oversized"):
            await store.list_parts(KEY, "u1")
    async with failing(endless(206)) as (store, _):
        with pytest.raises(StoreError, match="oversized"):
            await store.get_object_range(KEY, 0, 4096, if_match="e")


HOSTILE = [
    '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Error><Code>&b;</Code></Error>',
    '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Error><Code>&f;</Code></Error>',
    "<a>" * 1000,
    "<Error>" + "<a/>" * 10_000,
    "<Error><Code>\x00\x01</Code></Error>",
]


@pytest.mark.parametrize("body", HOSTILE)
async def test_hostile_xml_is_not_obeyed(body: str) -> None:
    """Document types, deep nesting and broken XML are refused; the status decides."""
    async with failing(answer(403, body)) as (store, _):
        with pytest.raises(StoreError) as caught:
            await store.list_parts(KEY, "u1")
        assert (caught.value.s3_code, caught.value.status) == ("", 403)
    async with failing(answer(200, body)) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.list_parts(KEY, "u1")


async def test_answers_are_asked_for_uncompressed_and_read_anyway() -> None:
    """We ask for identity; a proxy that compresses all the same is understood, within bounds."""
    async with failing(answer(200, gzip.compress(page(1, 2).encode()), Content_Encoding="gzip")) as (store, server):
        assert [part.part_number for part in await store.list_parts(KEY, "u1")] == [1, 2]
        assert server.requests[0].headers["accept-encoding"] == "identity"
    for bad in (gzip.compress(bytes(64 << 20)), gzip.compress(page(1).encode())[:-9], b"not gzip"):
        async with failing(answer(200, bad, Content_Encoding="gzip")) as (store, _):
            with pytest.raises(StoreError):
                await store.list_parts(KEY, "u1")


async def test_c6_objects_are_never_decompressed() -> None:
    """An object stored with a gzip encoding is read as the bytes it has."""
    body = gzip.compress(bytes(1 << 20))
    headers = {"Content_Encoding": "gzip", "Content_Range": f"bytes 0-{len(body) - 1}/{len(body)}"}
    async with failing(answer(206, body, **headers)) as (store, _):
        assert await store.get_object_range(KEY, 0, len(body), if_match="e") == body


@pytest.mark.parametrize(
    "fault",
    [
        answer(200, b"0123456789"),
        answer(206, b"012", Content_Range="bytes 0-2/10"),
        answer(206, b"01234", Content_Range="bytes 0-4/10"),
        answer(206, b"4567", Content_Range="bytes 4-7/10"),
        answer(206, b"0123"),
    ],
)
async def test_a_range_is_exact_or_an_error(fault: Behaviour) -> None:
    """An answer with other bytes than were asked for is an error: whole, short, long, elsewhere or unnamed."""
    async with failing(fault) as (store, _):
        with pytest.raises(StoreError):
            await store.get_object_range(KEY, 0, 4, if_match="e")
        with pytest.raises(ValueError, match="range"):
            await store.get_object_range(KEY, 0, 0, if_match="e")


async def test_b2_a_truncated_object_is_unavailable() -> None:
    """An answer that breaks off is tried again, and is an error when no try is left."""
    short = answer(206, b"half", length=8, Content_Range="bytes 0-7/8")
    async with failing(short, max_attempts=1) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.get_object_range(KEY, 0, 8, if_match="e")
    whole = answer(206, b"12345678", Content_Range="bytes 0-7/8")
    async with failing(answer(206, b"half", length=8, Content_Range="bytes 0-7/8"), whole) as (store, _):
        assert await store.get_object_range(KEY, 0, 8, if_match="e") == b"12345678"


async def test_deleting_what_the_store_says_is_missing_is_fine() -> None:
    """Stores that answer 404 to a delete mean the same as those that answer 204."""
    async with failing(error(404, "NoSuchKey"), error(404, "NoSuchBucket")) as (store, _):
        await store.delete_object(KEY)
        with pytest.raises(StoreError):
            await store.delete_object(KEY, version_id="v1")


async def test_bytes_are_sent_again_whole() -> None:
    """A part given as bytes is sent again from its beginning, large or small."""
    for body in (b"p" * (1 << 20), memoryview(bytearray(b"q" * 700_000)), b"small"):
        async with failing(SLOW_DOWN, reset, answer(200, ETag='"e1"')) as (store, server):
            assert await store.upload_part(KEY, "u1", 1, body, size_bytes=len(body)) == "e1"
            assert [request.body for request in server.requests] == [bytes(body)] * 3


async def test_a_stream_is_sent_once() -> None:
    """A part given as a stream is not tried again: it cannot be read twice."""
    async with failing(SLOW_DOWN, answer(200, ETag='"e1"')) as (store, server):
        with pytest.raises(StoreUnavailable):
            await store.upload_part(KEY, "u1", 1, stream(b"ab", b"cd"), size_bytes=4)
        assert [request.body for request in server.requests] == [b"abcd"]
        assert "transfer-encoding" not in server.requests[0].headers


async def test_pieces_are_sent_again_whole() -> None:
    """A part given as a list of pieces is sent again from its beginning, with its length announced."""
    pieces = [b"a" * 300_000, b"", b"b" * 300_000, b"c"]
    async with failing(SLOW_DOWN, answer(200, ETag='"e1"')) as (store, server):
        assert await store.upload_part(KEY, "u1", 1, pieces, size_bytes=600_001) == "e1"
        assert [request.body for request in server.requests] == [b"".join(pieces)] * 2


async def test_a_refusal_before_the_body_is_read_is_heard() -> None:
    """A store that refuses while the part is still being sent is AccessDenied, for bytes and for a stream."""
    body = bytes(16 << 20)
    async with failing(early(403)) as (store, _):
        with pytest.raises(AccessDenied):
            await store.upload_part(KEY, "u1", 1, body, size_bytes=len(body))
        with pytest.raises(AccessDenied):
            await store.upload_part(KEY, "u1", 1, stream(*[body[: 1 << 20]] * 16), size_bytes=len(body))


@pytest.mark.parametrize("size", [3, 5])
async def test_a_stream_must_have_its_size(size: int) -> None:
    """A stream that is longer or shorter than announced is refused, and the store never has a whole part."""
    async with failing(answer(200, ETag='"e1"')) as (store, server):
        with pytest.raises(ValueError, match="than its announced size"):
            await store.upload_part(KEY, "u1", 1, stream(b"ab", b"cd"), size_bytes=size)
        assert all(not request.body for request in server.requests)


async def test_a_stream_of_no_bytes_must_be_empty() -> None:
    """A stream that was announced empty is read: a byte in it is an error, and without one an empty part is stored."""
    async with failing(answer(200, ETag='"e1"')) as (store, server):
        with pytest.raises(ValueError, match="longer than its announced size"):
            await store.upload_part(KEY, "u1", 1, stream(b"ab"), size_bytes=0)
        assert all(not request.body for request in server.requests)
    async with failing(answer(200, ETag='"e1"')) as (store, server):
        assert await store.upload_part(KEY, "u1", 1, stream(), size_bytes=0) == "e1"
        assert server.requests[-1].headers["content-length"] == "0"


@pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"abc"), [b"a", b"bc"]])
@pytest.mark.parametrize("size", [0, 2, 4])
async def test_a_body_of_known_length_must_have_its_size(body: Any, size: int) -> None:
    """A body is never dropped or cut in silence because its announced size is another, 0 among them."""
    async with failing(answer(200, ETag='"e1"')) as (store, server):
        with pytest.raises(ValueError, match=f"3 bytes, not the announced {size}"):
            await store.upload_part(KEY, "u1", 1, body, size_bytes=size)
        assert server.requests == []


async def test_what_a_stream_raises_comes_out() -> None:
    """An error of the caller's own stream is not called the store's."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"ab"
        raise LookupError("the client went away")

    async with failing(answer(200, ETag='"e1"')) as (store, _):
        with pytest.raises(LookupError, match="went away"):
            await store.upload_part(KEY, "u1", 1, broken(), size_bytes=4)


async def test_a_slow_client_is_not_a_slow_store() -> None:
    """Waiting for the caller's stream does not count against the store."""

    async def slow() -> AsyncIterator[bytes]:
        for piece in (b"ab", b"cd", b"ef"):
            await asyncio.sleep(0.15)
            yield piece

    async with failing(answer(200, ETag='"e1"'), timeout_seconds=0.1) as (store, server):
        assert await store.upload_part(KEY, "u1", 1, slow(), size_bytes=6) == "e1"
        assert server.requests[0].body == b"abcdef"


async def test_b2_a_store_that_stops_reading_is_unavailable() -> None:
    """A part that the store does not take ends as StoreUnavailable, however long it would be."""
    body = bytes(32 << 20)
    async with failing(deaf, timeout_seconds=0.2, max_attempts=1) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.upload_part(KEY, "u1", 1, body, size_bytes=len(body))
        with pytest.raises(StoreUnavailable):
            await store.upload_part(KEY, "u1", 1, stream(*[body[: 1 << 20]] * 32), size_bytes=len(body))


async def test_b2_a_silent_store_has_one_budget_for_all_tries() -> None:
    """However many tries there are, a part is given up when the store was silent for so long in all."""
    began = asyncio.get_running_loop().time()
    async with failing(hang, max_attempts=10) as (store, server):
        with pytest.raises(StoreUnavailable):
            await store.upload_part(KEY, "u1", 1, b"part", size_bytes=4, timeout_seconds=0.4, total_wait_seconds=0.6)
        assert len(server.requests) == 2
    assert 0.5 < asyncio.get_running_loop().time() - began < 3


async def test_b2_the_budget_counts_silence_only() -> None:
    """A part that the store takes slowly is stored, and may fail once, however small the budget is."""
    body = bytes(32 << 20)

    async def slow(exchange: Any) -> bool:
        for _ in range(32):
            await asyncio.sleep(0.05)
            await exchange.reader.readexactly(1 << 20)
        exchange.writer.write(b'HTTP/1.1 200 X\r\nETag: "e1"\r\nContent-Length: 0\r\n\r\n')
        return True

    async with failing(SLOW_DOWN, slow) as (store, server):
        given = {"size_bytes": len(body), "timeout_seconds": 0.8, "total_wait_seconds": 0.8}
        assert await store.upload_part(KEY, "u1", 1, body, **given) == "e1"
        assert len(server.requests) == 2


async def test_b2_connecting_is_not_waited_for_as_long_as_for_a_part() -> None:
    """An address where nobody takes connections is given up after the ordinary time, not after a part's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        # Linux drops what comes once the queue is full, as a firewall does.
        queue = [socket.socket() for _ in range(8)]
        for one in queue:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with open_store(config_of(endpoint, timeout_seconds=0.3, max_attempts=2)) as store, asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await store.upload_part(KEY, "u1", 1, b"part", size_bytes=4, timeout_seconds=60)
        for one in queue:
            one.close()


async def test_pages_end_where_the_store_says() -> None:
    """All pages are read, also where the last one's marker is 0 (MinIO), and both copies across a page's end."""
    newer = page(3, 4).replace("2026-01-01", "2026-01-02").replace("<Size>5", "<Size>6")
    async with failing(answer(200, page(1, 2, 3, truncated=True, marker=3)), answer(200, newer)) as (store, server):
        parts = await store.list_parts(KEY, "u1")
        assert [(part.part_number, part.size_bytes) for part in parts] == [(1, 5), (2, 5), (3, 6), (4, 6)]
        assert "part-number-marker=2" in server.requests[1].target


@pytest.mark.parametrize("body", [page(1, 2, truncated=True), page(truncated=True)])
async def test_pages_that_do_not_end_are_an_error(body: str) -> None:
    """A store that says there is more for ever is an error after a few pages."""
    async with failing(answer(200, body)) as (store, server):
        with pytest.raises(StoreError, match="too many pages"):
            await store.list_parts(KEY, "u1")
        assert len(server.requests) <= 4


@pytest.mark.parametrize(
    "change", [("<Size>5", "<Size>many"), ("2026-01-01T", "soon"), ("PartNumber>1", "PartNumber>")]
)
async def test_an_unreadable_part_is_an_error(change: tuple[str, str]) -> None:
    """A listed part that makes no sense is an error, not a crash."""
    async with failing(answer(200, page(1).replace(*change))) as (store, _):
        with pytest.raises(StoreError):
            await store.list_parts(KEY, "u1")


async def test_an_unreadable_head_is_an_error() -> None:
    """An object without a readable size is an error, not a crash."""
    async with failing(answer(200, ETag='"e"', Last_Modified="whenever")) as (store, _):
        with pytest.raises(StoreError):
            await store.head_object(KEY)


async def test_b7_calls_and_urls_follow_the_stores_clock() -> None:
    """A gateway whose clock is off signs by the store's time after its first answer."""
    theirs = datetime.now(UTC) + timedelta(minutes=20)
    date = format_datetime(theirs, usegmt=True)
    skewed = error(403, "RequestTimeTooSkewed", Date=date)
    async with failing(skewed, CREATED) as (store, server):
        await store.create_multipart_upload(KEY, content_type="video/mp4")
        assert server.requests[1].headers["x-amz-date"][:13] >= theirs.strftime("%Y%m%dT%H%M")
        presigner = Presigner("http://x", "b", "r", Credentials("A", "S"), "path", now=store.clock)
        [signed] = presigner.part_urls(KEY, "u1", [PartToSign(1, 1)], 60)
        assert signed.expires_at > theirs
    async with failing(skewed) as (store, server):
        with pytest.raises(StoreError):
            await store.head_bucket()
        assert len(server.requests) == 2


@pytest.mark.store
async def test_b7_a_real_store_is_reached_with_a_wrong_clock(config: StoreConfig, key: str) -> None:
    """With a clock 40 minutes off the gateway still stores and reads."""
    for wrong in (timedelta(minutes=-40), timedelta(minutes=40)):
        async with open_store(config, StoreClock(lambda wrong=wrong: datetime.now(UTC) + wrong)) as store:  # type: ignore[misc]
            await put_object(store, key, b"x", content_type="video/mp4")
            assert await store.get_object_range(key, 0, 1, if_match=None) == b"x"


async def test_connections_are_bounded() -> None:
    """More calls than connections wait their turn."""
    async with failing(CREATED, pool_size=3) as (store, server):
        await asyncio.gather(*(store.create_multipart_upload(KEY, content_type="a/b") for _ in range(30)))
        assert 1 <= server.most_connections <= 3


async def test_a_cancelled_call_gives_its_connection_back() -> None:
    """A call that is cancelled leaves nothing behind that the next one would wait for."""
    async with failing(hang, CREATED, pool_size=1, timeout_seconds=30) as (store, server):
        call = asyncio.create_task(store.head_bucket())
        await server.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await store.create_multipart_upload(KEY, content_type="a/b") == "u1"


async def test_errors_and_logs_hold_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Neither errors nor debug logs show a key, a signature or an address, even when the store echoes them."""
    echo = (
        f"{XML}<Error><Code>SignatureDoesNotMatch</Code><Message>see http://h/b?X-Amz-Signature=abc\r\nforged"
        "</Message><StringToSign>AWS4-HMAC-SHA256 topsecret</StringToSign></Error>"
    )
    with caplog.at_level(logging.DEBUG):
        for fault in (answer(403, echo), reset, hang, answer(400, "<R", length=9), SLOW_DOWN):
            async with failing(fault, timeout_seconds=0.1) as (store, _):
                with pytest.raises((StoreError, StoreUnavailable)) as caught:
                    await store.complete_multipart_upload(KEY, "u1", PARTS)
                chain = [caught.value, caught.value.__cause__]
                shown = " ".join(f"{exc!s} {exc!r}" for exc in chain) + caplog.text
                for word in (SECRET, "X-Amz-Signature", "topsecret", "Signature=", "\n"):
                    assert word not in shown.replace(caplog.text, "")
                assert SECRET not in caplog.text
                assert "Signature=" not in caplog.text


@pytest.mark.parametrize("value", ["né", "a\r\nX-Evil: 1", "a\x00"])
async def test_headers_hold_printable_ascii(value: str) -> None:
    """Metadata that could split a header or be read two ways is refused before anything is sent."""
    async with failing(CREATED) as (store, server):
        with pytest.raises(ValueError, match="printable ASCII"):
            await store.create_multipart_upload(KEY, content_type="a/b", metadata={"name": value})
        with pytest.raises(ValueError, match="printable ASCII"):
            await store.create_multipart_upload(KEY, content_type=value)
        assert server.requests == []
