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
        description="Largest upload, bytes. The transcription pipeline accepts 5 GiB. S3's limit is 10,000 parts of 5"
        " GiB.",
    )
    chunk_size: int = Field(
        MIB,
        ge=64 * KIB,
        le=16 * MIB,
        validation_alias=bare_name("CHUNK_SIZE"),
        description="Size of one write when the gateway stores a file on disk, bytes.",
    )
    allowed_upload_extensions: CommaSeparated = Field(
        tuple(sorted(AUDIO_EXTENSIONS + VIDEO_EXTENSIONS)),
        validation_alias=bare_name("ALLOWED_UPLOAD_EXTENSIONS"),
        description="Allowed file extensions, comma separated. Default: audio and video.",
    )
    extension_mismatch: Literal["accept", "strict"] = Field(
        "accept",
        description="When the extension does not fit the proven bytes: accept the file with its observed type and a "
        "note, or reject it with the name that fits.",
    )
    require_audio: bool = Field(
        False, description="Reject a film without a sound track: a transcriber would find nothing in it."
    )
    min_duration_seconds: float | None = Field(
        None, ge=0, description="Reject a recording that lasts less than this, seconds. Default: no limit."
    )
    max_duration_seconds: float | None = Field(
        None,
        gt=0,
        description="Reject a recording that lasts longer than this, seconds, where its header or its bytes tell. "
        "Default: no limit.",
    )
    clamd_address: str | None = Field(
        None,
        pattern=r"^(tcp://\S+|unix:///\S+)$",
        description="Address of clamd, `tcp://host:3310` or `unix:///run/clamav/clamd.ctl`. Default: no scan.",
    )
    scanner_policy: Literal["fail_closed", "fail_open"] = Field(
        "fail_closed",
        description="Result for a file that was not scanned (no answer, too large). `fail_closed`: it never becomes "
        "ready. `fail_open`: it becomes ready with a note.",
    )
    scanner_max_bytes: int = Field(
        100 * MIB,
        gt=0,
        description="Largest file for the scanner, bytes. clamd's `StreamMaxLength` must be at least as large.",
    )
    scanner_timeout_seconds: float = Field(
        120.0, gt=0, description="Longest wait for the scanner without progress, seconds. clamd's ReadTimeout is 120."
    )
    min_part_size: int = Field(
        16 * MIB,
        ge=5 * MIB,
        description="Smallest planned part, bytes. S3 refuses parts under 5 MiB except the last one. A browser sends "
        "a preflight for each part; 16 MiB keep their number low.",
    )
    max_part_size: int = Field(
        512 * MIB,
        le=5 * GIB,
        description="Largest planned part, bytes. A larger file gets more parts instead. S3's limit is 5 GiB, and a "
        "failed part is sent again as a whole.",
    )
    target_part_count: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Number of parts up to which parts grow instead. The create answer carries 100 URLs, so a client "
        "needs no second request.",
    )

    _split_policy_lists = field_validator("allowed_upload_extensions", mode="before")(split_commas)

    @field_validator("allowed_upload_extensions")
    @classmethod
    def _bare_extensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({item.lower().lstrip(".") for item in value}))
