"""Decide from proven bytes, name and policy whether a file is accepted: one answer for every caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.detection import Verdict
from gateway.domain.media_types import Naming, Proven, judge_name
from gateway.domain.policy import FileRules, extension_of
from gateway.domain.rejection import Rejection, RejectionCode


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer about one file: why it is rejected, or None, and how its name fits its bytes."""

    verdict: Verdict
    rejection: Rejection | None
    naming: Naming = field(default_factory=Naming)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the database and the API: the facts, and the judgement of the name."""
        return self.verdict.to_dict() | {
            "extension_mismatch": self.naming.extension_mismatch,
            "suggested_filename": self.naming.suggested_filename,
        }


def decide(policy: FileRules, filename: str, verdict: Verdict) -> Decision:
    """Compare the proven bytes with the file's name and the policy.

    The bytes decide the type: a declared type is a guess and never a reason. A name that does not fit is noted, and
    refused only by the policy `strict`.
    """
    if not verdict.accepted or verdict.family is None or verdict.media_type is None or verdict.kind is None:
        return Decision(
            verdict, Rejection(RejectionCode.TYPE_NOT_RECOGNISED, verdict.reason or "The file is not audio or video.")
        )
    sound = next((track for track in verdict.tracks if track.kind == "audio"), None)
    container = verdict.container or verdict.family
    proven = Proven(verdict.family, container, verdict.media_type, verdict.kind, sound.codec if sound else None)
    naming = judge_name(filename, extension_of(filename), proven)
    if naming.extension_mismatch and policy.extension_mismatch == "strict":
        return Decision(verdict, Rejection(RejectionCode.EXTENSION_MISMATCH, naming.detail or ""), naming)
    return Decision(verdict, _by_policy(policy, verdict), naming)


def _by_policy(policy: FileRules, verdict: Verdict) -> Rejection | None:
    """Say which rule about sound and duration rejects the file; a duration that no header states breaks none."""
    if verdict.available_seconds == 0:
        return Rejection(
            RejectionCode.NOTHING_TO_PLAY, "The file has a header, but no sound or pictures. Upload the complete file."
        )
    if policy.require_audio and verdict.kind == "video" and not any(track.kind == "audio" for track in verdict.tracks):
        return Rejection(RejectionCode.NO_AUDIO, "The film has no sound. Upload one that has.")
    seconds = verdict.duration_seconds
    if seconds is None:
        return None
    least, most = policy.min_duration_seconds, policy.max_duration_seconds
    if least is not None and seconds < least:
        return Rejection(
            RejectionCode.TOO_SHORT, f"The recording lasts {seconds:g} seconds. It must last at least {least:g}."
        )
    if most is not None and seconds > most:
        return Rejection(
            RejectionCode.TOO_LONG, f"The recording lasts {seconds:g} seconds. It may last at most {most:g}."
        )
    return None
