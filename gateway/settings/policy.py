"""Name the limits and the policy for files."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from gateway.domain.media_types import AUDIO_EXTENSIONS, VIDEO_EXTENSIONS
from gateway.settings.common import GIB, KIB, MIB, CommaSeparated, SettingGroup, bare_name, split_commas


class PolicySettings(SettingGroup):
    """Hold the limits and the policy for files."""

    title: ClassVar[str] = "Limits and policy"

    max_file_size: int = Field(
        5 * GIB,
        gt=0,
        le=48_828 * GIB,
        validation_alias=bare_name("MAX_FILE_SIZE"),
        description="Largest upload, bytes. 5 GiB is what the transcription pipeline takes; "
        "S3's own end is 10,000 parts of 5 GiB.",
    )
    chunk_size: int = Field(
        MIB,
        ge=64 * KIB,
        le=16 * MIB,
        validation_alias=bare_name("CHUNK_SIZE"),
        description="Bytes moved at once when the gateway itself streams, bytes.",
    )
    allowed_upload_extensions: CommaSeparated = Field(
        tuple(sorted(AUDIO_EXTENSIONS + VIDEO_EXTENSIONS)),
        validation_alias=bare_name("ALLOWED_UPLOAD_EXTENSIONS"),
        description="File extensions that may be uploaded, comma separated. Default: audio and video.",
    )
    type_mismatch: Literal["reject", "accept"] = Field(
        "reject",
        description="When the bytes are media of another family than the name says: reject, or accept as seen.",
    )
    clamd_address: str | None = Field(
        None,
        pattern=r"^(tcp://\S+|unix:///\S+)$",
        description="Where clamd listens: tcp://host:3310 or unix:///run/clamav/clamd.ctl. Default: no scan.",
    )
    scanner_policy: Literal["fail_closed", "fail_open"] = Field(
        "fail_closed", description="A file that was not scanned (no answer, too large): never ready, or with a note."
    )
    scanner_max_bytes: int = Field(
        100 * MIB, gt=0, description="Largest file sent to the scanner, bytes; clamd's StreamMaxLength must hold it."
    )
    scanner_timeout_seconds: float = Field(
        120.0, gt=0, description="Longest wait for the scanner without progress, seconds. clamd's ReadTimeout is 120."
    )
    min_part_size: int = Field(
        16 * MIB,
        ge=5 * MIB,
        description="Smallest planned part, bytes. S3 refuses parts under 5 MiB except the last; a browser sends a "
        "preflight for each part, so 16 MiB keeps them rare.",
    )
    max_part_size: int = Field(
        512 * MIB,
        le=5 * GIB,
        description="Size parts may grow to, bytes, before there are more of them. S3's end is 5 GiB; a failed part "
        "is sent again whole.",
    )
    target_part_count: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Parts grow so that a file has at most this many: one answer carries every URL.",
    )

    _split_policy_lists = field_validator("allowed_upload_extensions", mode="before")(split_commas)

    @field_validator("allowed_upload_extensions")
    @classmethod
    def _bare_extensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({item.lower().lstrip(".") for item in value}))
