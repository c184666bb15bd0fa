"""Name the settings for files that the gateway itself receives."""

from __future__ import annotations

from pathlib import Path
from tempfile import gettempdir
from typing import ClassVar, Literal

from pydantic import Field

from gateway.settings.common import KIB, MIB, SettingGroup, bare_name


class ReceivingSettings(SettingGroup):
    """Hold the settings for files that the gateway itself receives."""

    title: ClassVar[str] = "Files that the gateway itself receives"

    upload_stream_destination: Literal["store", "disk"] = Field(
        "store",
        validation_alias=bare_name("UPLOAD_STREAM_DESTINATION"),
        description="Where a file sent to /upload/stream is kept: `store` pipes it into the bucket and needs no disk, "
        "`disk` writes it into UPLOAD_DIR.",
    )
    upload_dir: Path = Field(
        Path(gettempdir()),
        validation_alias=bare_name("UPLOAD_DIR"),
        description="Folder of streamed uploads kept on disk; API and worker need the same one.",
    )
    upload_stream_part_size: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=64 * MIB,
        description="Part and buffer size when the gateway sends to the store, bytes. S3 refuses less than 5 MiB; more "
        "costs memory and makes nothing faster.",
    )
    upload_stream_buffers: int = Field(
        32,
        ge=1,
        le=1000,
        description="Part buffers per process. An upload uses one to three, so this is also the number of files "
        "received at once; 32 of 8 MiB are 256 MiB.",
    )
    upload_stream_tenant_files: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Files one tenant may send at once per process. Default: three quarters of the buffers, so that "
        "slow senders of one tenant leave room for the others.",
    )
    upload_stream_seconds: float = Field(
        21_600.0, gt=0, description="Longest time one file may take, seconds. 5 GiB at 2 Mbit/s are 6 hours."
    )
    upload_stream_stall_seconds: float = Field(
        30.0, gt=0, description="Longest silence of a sender, seconds; a phone that changes networks takes 10 to 20."
    )
    upload_stream_least_rate: int = Field(
        16 * KIB,
        ge=0,
        description="Least rate of a sender after half a minute, bytes per second. Slower ones would hold a buffer for "
        "hours; 128 kbit/s is a bad mobile connection.",
    )

    upload_stream_store_seconds: float = Field(
        90.0,
        gt=0,
        description="Longest silence of the store about one part, over all tries, before the answer is 503, seconds; "
        "one try waits two thirds of it, because a store may sync parts to a disk that others are using too.",
    )
