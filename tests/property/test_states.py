"""A machine that does what clients, sweepers and time do, in any order, on a real database and store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from gateway.bootstrap import open_gateway
from gateway.context import Gateway
from gateway.database import transitions
from gateway.domain.errors import Conflict, Gone, Invalid
from gateway.domain.principal import Principal
from gateway.domain.transition import Transition
from gateway.domain.upload import TRANSITIONS, State, Upload
from gateway.maintenance.sweep import sweep
from gateway.settings import Settings
from gateway.storage.errors import NoSuchKey
from gateway.uploads.abort import abort
from gateway.uploads.access import load
from gateway.uploads.complete import complete
from gateway.uploads.create import NewUpload, create
from gateway.uploads.download import download
from gateway.uploads.sign import WantedPart, sign
from tests.api.conftest import mp3_bytes

ACME = Principal("acme", "test")
T = TypeVar("T")


class Uploads(RuleBasedStateMachine):
    """Hold for each upload what must be true of it, and compare after every step."""

    chosen: Settings
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.parts = AsyncExitStack()
        self.gateway: Gateway = self.run(self.parts.enter_async_context(open_gateway(self.chosen)))
        self.states: dict[UUID, State] = {}
        self.bodies: dict[UUID, bytes | None] = {}
        self.keys: dict[UUID, tuple[str, str]] = {}

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run one call to its end."""
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        """Close the gateway."""
        self.run(self.parts.aclose())
        self.loop.close()

    @rule(target=made, media=st.booleans())
    def create(self, media: bool) -> Any:
        """Create an upload of media or of text."""
        body = mp3_bytes() if media else b"text" * 100
        upload = self.run(create(self.gateway, ACME, NewUpload("a.mp3", len(body)))).upload
        assert upload.multipart_upload_id is not None
        self.states[upload.id] = State.UPLOADING
        self.bodies[upload.id] = None
        self.keys[upload.id] = (upload.object_key, upload.multipart_upload_id)
        return multiple((upload.id, body))

    @rule(one=made)
    def put(self, one: tuple[UUID, bytes]) -> None:
        """Send the part, as a holder of its URL may at any time."""
        key, multipart_upload_id = self.keys[one[0]]
        try:
            self.run(self.gateway.store.upload_part(key, multipart_upload_id, 1, one[1], size_bytes=len(one[1])))
        except Exception:  # noqa: BLE001 - whatever the store says, it took the part only while uploading
            assert self.states[one[0]] is not State.UPLOADING
        else:
            assert self.states[one[0]] is State.UPLOADING
            self.bodies[one[0]] = one[1]

    @rule(one=made)
    def sign(self, one: tuple[UUID, bytes]) -> None:
        """Sign: only what is open is signed."""
        try:
            self.run(sign(self.gateway, ACME, one[0], [WantedPart(1)]))
        except (Conflict, Gone):
            assert self.states[one[0]] is not State.UPLOADING
        else:
            assert self.states[one[0]] is State.UPLOADING

    @rule(one=made)
    def complete(self, one: tuple[UUID, bytes]) -> None:
        """Complete: with its part the upload becomes final by what its bytes are, without it nothing changes."""
        before, body = self.states[one[0]], self.bodies[one[0]]
        try:
            upload = self.run(complete(self.gateway, ACME, one[0]))
        except Gone:
            assert before is State.EXPIRED
        except Conflict:
            assert before is State.ABORTED or (before is State.UPLOADING and body is None)
        else:
            if before is State.UPLOADING:
                self.states[one[0]] = State.READY if body == mp3_bytes() else State.REJECTED
            assert upload.state is self.states[one[0]]

    @rule(one=made)
    def abort(self, one: tuple[UUID, bytes]) -> None:
        """Abort: only ready says no."""
        before = self.states[one[0]]
        try:
            self.run(abort(self.gateway, ACME, one[0]))
        except Conflict:
            assert before is State.READY
        else:
            assert before is not State.READY
            if before is State.UPLOADING:
                self.states[one[0]] = State.ABORTED

    @rule(one=made)
    def expire(self, one: tuple[UUID, bytes]) -> None:
        """Let its time be over and sweep: only what is open expires."""
        late = "UPDATE uploads SET expires_at = now() WHERE id = %(id)s"
        self.run(self.gateway.database.execute(late, {"id": one[0]}))
        self.run(sweep(self.gateway))
        if self.states[one[0]] is State.UPLOADING:
            self.states[one[0]] = State.EXPIRED

    @rule(one=consumes(made))
    def forget(self, one: tuple[UUID, bytes]) -> None:
        """Leave an upload alone from here on, so that steps meet others."""

    @rule(one=made)
    def download(self, one: tuple[UUID, bytes]) -> None:
        """Download: only ready gives a link."""
        try:
            self.run(download(self.gateway, ACME, one[0]))
        except Conflict:
            assert self.states[one[0]] is not State.READY
        else:
            assert self.states[one[0]] is State.READY

    @invariant()
    def everything_is_where_the_model_has_it(self) -> None:
        """States agree, an object is there exactly when ready, and the log tells a legal way."""
        for upload_id, state in self.states.items():
            upload: Upload = self.run(load(self.gateway, ACME, upload_id))
            assert upload.state is state
            assert self._object(upload) == (len(mp3_bytes()) if state is State.READY else None)
            self._check_way(upload_id, state)

    def _object(self, upload: Upload) -> int | None:
        try:
            return self.run(self.gateway.store.head_object(upload.object_key)).size_bytes
        except NoSuchKey:
            return None

    def _check_way(self, upload_id: UUID, state: State) -> None:
        query = "SELECT type FROM events WHERE upload_id = %(id)s ORDER BY id"
        types = [row["type"] for row in self.run(self.gateway.database.fetch_all(query, {"id": upload_id}))]
        assert types[0] == "created"
        at = State.UPLOADING
        for name in types[1:]:
            assert State(name) in TRANSITIONS[at]
            at = State(name)
        assert at is state


def test_no_order_of_steps_breaks_the_promise(settings_for_machine: Settings) -> None:
    """Whatever clients, sweepers and time do, states, store and log agree, and final is final."""
    Uploads.chosen = settings_for_machine
    run_state_machine_as_test(
        Uploads,
        settings=settings(
            max_examples=12, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def settings_for_machine(settings: Settings) -> Settings:
    """Give the settings of one database and store for all runs of the machine."""
    return settings


async def test_a_move_needs_its_state(settings_for_machine: Settings) -> None:
    """A compare-and-set from a state the upload is not in changes nothing and writes no event."""
    async with open_gateway(settings_for_machine) as gateway:
        upload = (await create(gateway, ACME, NewUpload("a.mp3", 1))).upload
        async with gateway.database.connection() as connection:
            for from_state in set(State) - {State.UPLOADING}:
                for to_state in TRANSITIONS[from_state]:
                    change = Transition(from_state, to_state)
                    assert await transitions.apply(connection, upload.id, change) is None
        rows = await gateway.database.fetch_all("SELECT type FROM events", {})
        assert [row["type"] for row in rows] == ["created"]


async def test_an_unknown_part_is_invalid(settings_for_machine: Settings) -> None:
    """The machine's only part is number 1."""
    async with open_gateway(settings_for_machine) as gateway:
        upload = (await create(gateway, ACME, NewUpload("a.mp3", 1))).upload
        with pytest.raises(Invalid):
            await sign(gateway, ACME, upload.id, [WantedPart(2)])
