"""Describe one change of an upload's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

from gateway.domain.parts import StoredPart
from gateway.domain.rejection import Rejection
from gateway.domain.upload import TRANSITIONS, State


@dataclass(frozen=True, slots=True)
class Transition:
    """Describe one transition and the facts learned with it. None leaves a column unchanged.

    Raises ValueError for a transition that TRANSITIONS does not have.
    """

    from_state: State
    to_state: State
    via: State | None = None
    """A state between the two that ends in the same statement; it has its own event."""
    fence: UUID | None = None
    """Apply only while the upload still has this lease token: a process that lost its lease changes nothing."""
    lease_token: UUID | None = None
    """The lease that the upload has afterwards; None ends the lease."""
    lease_seconds: float = 0.0
    observed_size_bytes: int | None = None
    observed_etag: str | None = None
    observed_version_id: str | None = None
    content_type: str | None = None
    detection: Mapping[str, Any] | None = None
    assembly: Sequence[StoredPart] | None = None
    rejection: Rejection | None = None
    cleanup_pending: bool | None = None
    expired_only: bool | None = None
    """True: apply only after expires_at. False: only before it."""
    receiver_token: UUID | None = None
    """The caller's right to receive the file. While another process receives it, the upload cannot be claimed."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The fields of the event."""

    def __post_init__(self) -> None:
        steps = [state for state in (self.from_state, self.via, self.to_state) if state is not None]
        for one, other in pairwise(steps):
            if other not in TRANSITIONS[one]:
                raise ValueError(f"no upload goes from {one} to {other}")


def rejected(from_state: State, rejection: Rejection, **more: Any) -> Transition:
    """Return the transition to `rejected`: its event names the reason, and the sweeper removes the file."""
    return Transition(
        from_state,
        State.REJECTED,
        rejection=rejection,
        cleanup_pending=True,
        data={"code": rejection.code, "detail": rejection.detail},
        **more,
    )
