"""The same contract for the repository in PostgreSQL and for the one in memory that unit tests use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from gateway.domain.object_key import new_upload_id
from gateway.domain.parts import StoredPart
from gateway.domain.principal import Principal, TokenGrant
from gateway.domain.rejection import Rejection, RejectionCode
from gateway.domain.transition import Transition, rejected
from gateway.domain.upload import TRANSITIONS, State, Upload
from gateway.events.wakeups import Wakeups
from gateway.ports import EarlierRequest, IdempotentRequest, UploadRepository
from tests.api.conftest import Api
from tests.unit.uploads.conftest import Clock
from tests.unit.uploads.memory_uploads import MemoryUploads

ACME, OTHER = Principal("acme", "test"), Principal("other", "test")
PARTS = [StoredPart(1, 5, "a", "sum"), StoredPart(2, 3, "b")]


@dataclass
class Case:
    """One implementation, with its clock."""

    uploads: UploadRepository
    now: Callable[[], datetime]
    tick: Callable[[], None]
    """Let the smallest time pass."""
    overdue: Callable[[UUID], Any]
    """Bring an upload's expires_at into the past."""
    types: Callable[[UUID], Any]
    """Give the types of an upload's events."""

    def intent(self, **changed: Any) -> Upload:
        """Give an upload that is not open yet."""
        identity, now = new_upload_id(), self.now()
        upload = Upload(
            id=identity,
            tenant_id="acme",
            state=State.UPLOADING,
            filename="a.mp3",
            extension="mp3",
            declared_size_bytes=8,
            declared_content_type=None,
            part_size_bytes=5,
            part_checksums=None,
            checksums=None,
            metadata={"user": "7"},
            bucket="b",
            object_key=f"uploads/{identity}.mp3",
            content_type="audio/mpeg",
            lease_token=uuid4(),
            created_at=now,
            updated_at=now,
            expires_at=now + timedelta(hours=1),
        )
        return replace(upload, **changed)

    async def opened(self, **changed: Any) -> Upload:
        """Give an open upload."""
        intent = self.intent(**changed)
        assert isinstance(await self.uploads.insert_intent(intent, None, key_id="key", lease_seconds=60), Upload)
        assert intent.lease_token is not None
        upload = await self.uploads.open_upload(
            intent.id, multipart_upload_id="m", fence=intent.lease_token, expires_at=intent.expires_at
        )
        assert upload is not None
        return upload

    async def leased(self, seconds: float) -> Upload:
        """Give a claimed upload."""
        upload = await self.opened()
        change = Transition(
            State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=seconds, assembly=PARTS
        )
        claimed = await self.uploads.apply(upload.id, change)
        assert claimed is not None
        return claimed


def _in_memory() -> Case:
    clock = Clock()
    uploads = MemoryUploads(clock, Wakeups("", ""))

    async def overdue(upload_id: UUID) -> None:
        uploads.rows[upload_id] = replace(uploads.rows[upload_id], expires_at=clock.time)

    async def types(upload_id: UUID) -> list[str]:
        return uploads.types_of(upload_id)

    return Case(uploads, clock, lambda: clock.move(0.001), overdue, types)


def _in_postgres(api: Api) -> Case:
    database = api.gateway.database

    async def overdue(upload_id: UUID) -> None:
        await database.execute("UPDATE uploads SET expires_at = now() WHERE id = %(id)s", {"id": upload_id})

    async def types(upload_id: UUID) -> list[str]:
        rows = await database.fetch_all(
            "SELECT type FROM events WHERE upload_id = %(id)s ORDER BY id", {"id": upload_id}
        )
        return [row["type"] for row in rows]

    return Case(api.gateway.uploads, lambda: datetime.now(UTC), lambda: None, overdue, types)


@pytest.fixture(params=["memory", "postgres"])
def case(request: pytest.FixtureRequest, api: Api) -> Case:
    """Give each implementation in turn."""
    return _in_memory() if request.param == "memory" else _in_postgres(api)


async def test_an_opened_upload_is_found_as_it_was_written(case: Case) -> None:
    """The tenant finds it with every field, another tenant does not, and a list shows it newest first."""
    # Ids sort by their millisecond, and at random within one.
    first, second = sorted([await case.opened(), await case.opened()], key=lambda upload: upload.id)
    found = await case.uploads.find(ACME, first.id)
    assert found == first == await case.uploads.find_unscoped(first.id)
    assert (first.multipart_upload_id, first.lease_token, first.metadata) == ("m", None, {"user": "7"})
    assert await case.uploads.find(OTHER, first.id) is None
    page = await case.uploads.list_page(ACME, state=None, before=None, limit=10)
    assert [upload.id for upload in page] == [second.id, first.id]
    rest = await case.uploads.list_page(ACME, state=State.UPLOADING, before=second.id, limit=10)
    assert [upload.id for upload in rest] == [first.id]
    assert await case.uploads.list_page(OTHER, state=None, before=None, limit=10) == []


async def test_an_intent_is_opened_once_and_only_by_its_lease(case: Case) -> None:
    """Another lease token does not open it, and it is in no list before it is open."""
    intent = case.intent()
    await case.uploads.insert_intent(intent, None, key_id="key", lease_seconds=60)
    assert await case.uploads.list_page(ACME, state=None, before=None, limit=10) == []
    answer = {"multipart_upload_id": "m", "expires_at": intent.expires_at}
    assert await case.uploads.open_upload(intent.id, fence=uuid4(), **answer) is None
    assert intent.lease_token is not None
    assert await case.uploads.open_upload(intent.id, fence=intent.lease_token, **answer) is not None
    assert await case.uploads.open_upload(intent.id, fence=intent.lease_token, **answer) is None
    assert await case.types(intent.id) == ["created"]


async def test_an_idempotency_key_stands_for_one_upload_of_its_tenant(case: Case) -> None:
    """The second request gets the first one and writes no row; another tenant and a later time are free."""
    since = case.now() - timedelta(hours=1)
    first, second = case.intent(), case.intent()
    request = IdempotentRequest("k", b"hash", since)
    assert await case.uploads.insert_intent(first, request, key_id="key", lease_seconds=60) == first
    case.tick()
    assert await case.uploads.insert_intent(second, request, key_id="key", lease_seconds=60) == EarlierRequest(
        first.id, b"hash"
    )
    assert await case.uploads.find_unscoped(second.id) is None
    other = case.intent(tenant_id="other")
    assert await case.uploads.insert_intent(other, request, key_id="key", lease_seconds=60) == other
    later = IdempotentRequest("k", b"hash", case.now() + timedelta(hours=1))
    third = case.intent()
    assert await case.uploads.insert_intent(third, later, key_id="key", lease_seconds=60) == third


async def test_a_transition_needs_its_state(case: Case) -> None:
    """From another state nothing changes and no event is written."""
    upload = await case.opened()
    for from_state in set(State) - {State.UPLOADING}:
        for to_state in TRANSITIONS[from_state]:
            assert await case.uploads.apply(upload.id, Transition(from_state, to_state)) is None
    assert await case.uploads.find_unscoped(upload.id) == upload
    assert await case.types(upload.id) == ["created"]
    assert await case.uploads.apply(uuid4(), Transition(State.UPLOADING, State.ABORTED)) is None


async def test_a_transition_keeps_what_it_does_not_name(case: Case) -> None:
    """Facts add up over the transitions, and the lease ends with the last one."""
    claimed = await case.leased(60)
    assert (claimed.state, claimed.lease_token is None) == (State.COMPLETING, False)
    assert await case.uploads.find_assembly(claimed.id) == PARTS
    change = Transition(
        State.COMPLETING,
        State.VALIDATING,
        fence=claimed.lease_token,
        lease_token=claimed.lease_token,
        lease_seconds=60,
        observed_etag="e",
        observed_version_id="v",
    )
    validating = await case.uploads.apply(claimed.id, change)
    assert validating is not None
    assert (validating.observed_etag, validating.observed_version_id) == ("e", "v")
    accepted = Transition(
        State.VALIDATING,
        State.READY,
        fence=claimed.lease_token,
        observed_size_bytes=8,
        content_type="audio/x",
        detection={"kind": "audio"},
    )
    ready = await case.uploads.apply(claimed.id, accepted)
    assert ready is not None
    assert (ready.observed_etag, ready.observed_size_bytes, ready.content_type) == ("e", 8, "audio/x")
    assert (ready.observed_version_id, ready.lease_token, ready.lease_until) == (None, None, None)
    assert await case.uploads.find_assembly(claimed.id) == PARTS
    assert await case.types(claimed.id) == ["created", "completing", "validating", "ready"]


async def test_a_rejection_is_kept_with_its_reason(case: Case) -> None:
    """Code and sentence are read back."""
    upload = await case.opened()
    rejection = Rejection(RejectionCode.EMPTY, "The file is empty.")
    ended = await case.uploads.apply(upload.id, rejected(State.UPLOADING, rejection))
    assert ended is not None
    assert (ended.state, ended.rejection) == (State.REJECTED, rejection)
    await case.uploads.mark_cleaned(upload.id)
    assert await case.uploads.find_unscoped(upload.id) == ended


async def test_a_fence_lets_only_the_holder_write(case: Case) -> None:
    """With another lease token a transition changes nothing."""
    claimed = await case.leased(60)
    change = Transition(State.COMPLETING, State.UPLOADING, fence=uuid4())
    assert await case.uploads.apply(claimed.id, change) is None
    assert await case.uploads.apply(claimed.id, replace(change, fence=claimed.lease_token)) is not None


async def test_before_and_after_the_expiry_other_transitions_apply(case: Case) -> None:
    """A claim needs an upload that has not expired, an expiry one that has."""
    upload = await case.opened()
    expire = Transition(State.UPLOADING, State.EXPIRED, expired_only=True)
    claim = Transition(State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=60, expired_only=False)
    assert await case.uploads.apply(upload.id, expire) is None
    await case.overdue(upload.id)
    assert await case.uploads.apply(upload.id, claim) is None
    assert await case.uploads.apply(upload.id, expire) is not None


async def test_an_upload_is_extended_but_never_shortened(case: Case) -> None:
    """The new expiry counts from now and is bounded by the age; an expired upload is not extended."""
    upload = await case.opened()
    later = await case.uploads.extend(upload.id, seconds=7200, max_seconds=100_000)
    assert later is not None
    assert later > upload.expires_at
    assert await case.uploads.extend(upload.id, seconds=60, max_seconds=100_000) is None
    assert await case.uploads.extend(upload.id, seconds=50_000, max_seconds=8000) is not None
    found = await case.uploads.find_unscoped(upload.id)
    assert found is not None
    assert found.expires_at - found.created_at == timedelta(seconds=8000)
    await case.overdue(upload.id)
    assert await case.uploads.extend(upload.id, seconds=7200, max_seconds=100_000) is None


async def test_a_transition_through_a_state_writes_both_events(case: Case) -> None:
    """The events are in order, and the upload is in the last state."""
    claimed = await case.leased(60)
    assert claimed.lease_token is not None
    change = Transition(
        State.COMPLETING, State.READY, via=State.VALIDATING, fence=claimed.lease_token, observed_etag="e", data={"a": 1}
    )
    ready = await case.uploads.apply(claimed.id, change)
    assert ready is not None
    assert (ready.state, ready.observed_etag, ready.lease_token) == (State.READY, "e", None)
    assert (await case.types(claimed.id))[-2:] == ["validating", "ready"]
    assert await case.uploads.apply(claimed.id, change) is None


async def test_a_lease_is_renewed_by_its_holder_and_taken_after_its_end(case: Case) -> None:
    """While it lasts nobody takes it; after it, the former holder renews nothing."""
    claimed, other = await case.leased(60), uuid4()
    assert claimed.lease_token is not None
    assert await case.uploads.take_lease(claimed.id, token=other, seconds=60) is None
    assert await case.uploads.renew_lease(claimed.id, token=claimed.lease_token, seconds=0)
    case.tick()
    taken = await case.uploads.take_lease(claimed.id, token=other, seconds=60)
    assert taken is not None
    assert taken.lease_token == other
    assert not await case.uploads.renew_lease(claimed.id, token=claimed.lease_token, seconds=60)
    assert await case.uploads.renew_lease(claimed.id, token=other, seconds=60)


async def test_an_open_upload_has_no_lease_to_take(case: Case) -> None:
    """Only intents, completing and validating uploads are leased."""
    upload = await case.opened()
    case.tick()
    assert await case.uploads.take_lease(upload.id, token=uuid4(), seconds=60) is None
    intent = case.intent()
    await case.uploads.insert_intent(intent, None, key_id="key", lease_seconds=0)
    case.tick()
    assert await case.uploads.take_lease(intent.id, token=uuid4(), seconds=60) is not None


async def test_one_receiver_at_a_time(case: Case) -> None:
    """While its right lasts nobody else receives or claims; its own token does, and release frees it at once."""
    upload, mine, other = await case.opened(), uuid4(), uuid4()
    assert await case.uploads.claim_receiver(upload.id, token=mine, seconds=60)
    assert not await case.uploads.claim_receiver(upload.id, token=other, seconds=60)
    claim = Transition(State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=60)
    assert await case.uploads.apply(upload.id, replace(claim, receiver_token=other)) is None
    assert await case.uploads.save_received(upload.id, token=mine, seconds=60, received_bytes=5)
    assert not await case.uploads.save_received(upload.id, token=other, seconds=60, received_bytes=6)
    found = await case.uploads.find_unscoped(upload.id)
    assert found is not None
    assert (found.received_bytes, found.receiver_token) == (5, mine)
    await case.uploads.release_receiver(upload.id, token=other)
    assert not await case.uploads.claim_receiver(upload.id, token=other, seconds=60)
    await case.uploads.release_receiver(upload.id, token=mine)
    assert await case.uploads.claim_receiver(upload.id, token=other, seconds=60)
    claimed = await case.uploads.apply(upload.id, replace(claim, receiver_token=other))
    assert claimed is not None
    assert (claimed.receiver_token, claimed.receiver_until) == (None, None)


async def test_a_receiver_is_followed_after_its_time(case: Case) -> None:
    """A right that was not renewed is another's, and the former holder saves nothing."""
    upload, mine, other = await case.opened(), uuid4(), uuid4()
    assert await case.uploads.claim_receiver(upload.id, token=mine, seconds=0)
    case.tick()
    assert await case.uploads.claim_receiver(upload.id, token=other, seconds=60)
    assert not await case.uploads.save_received(upload.id, token=mine, seconds=60, received_bytes=5)


async def test_an_overdue_receiver_does_not_keep_an_upload_open(case: Case) -> None:
    """A claim without its token succeeds after its time."""
    upload = await case.opened()
    assert await case.uploads.claim_receiver(upload.id, token=uuid4(), seconds=0)
    case.tick()
    claim = Transition(State.UPLOADING, State.COMPLETING, lease_token=uuid4(), lease_seconds=60)
    assert await case.uploads.apply(upload.id, claim) is not None


async def test_an_expired_upload_is_not_received(case: Case) -> None:
    """Neither an expired upload nor an intent has a receiver."""
    upload, intent = await case.opened(), case.intent()
    await case.overdue(upload.id)
    assert not await case.uploads.claim_receiver(upload.id, token=uuid4(), seconds=60)
    await case.uploads.insert_intent(intent, None, key_id="key", lease_seconds=60)
    assert not await case.uploads.claim_receiver(intent.id, token=uuid4(), seconds=60)


async def test_the_latest_checksum_of_a_part_counts(case: Case) -> None:
    """Checksums of several calls add up."""
    upload = await case.opened()
    await case.uploads.remember_checksums(upload.id, {1: "a", 2: "b"})
    await case.uploads.remember_checksums(upload.id, {2: "c"})
    assert await case.uploads.recall_checksums(upload.id) == {1: "a", 2: "c"}
    assert await case.uploads.recall_checksums(uuid4()) == {}


async def test_a_token_nobody_issued_finds_nothing(case: Case) -> None:
    """A bearer sees the uploads of its own token only."""
    upload = await case.opened()
    bearer = Principal("acme", "test", TokenGrant(uuid4(), "media"))
    assert bearer.token is not None
    assert not await case.uploads.is_token_live(bearer.token.token_id)
    assert await case.uploads.find(bearer, upload.id) is None
