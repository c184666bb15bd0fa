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
        description="Destination of forms sent to `/upload/stream`. `store` sends the bytes to the bucket and needs "
        "no disk. `disk` writes them to `UPLOAD_DIR`.",
    )
    upload_dir: Path = Field(
        Path(gettempdir()),
        validation_alias=bare_name("UPLOAD_DIR"),
        description="Folder of uploads on disk. API and worker need the same one.",
    )
    upload_stream_part_size: int = Field(
        8 * MIB,
        ge=5 * MIB,
        le=64 * MIB,
        description="Size of a part and of its buffer when the gateway sends a file to the store, bytes. S3 refuses "
        "less than 5 MiB. Larger parts cost memory and are not faster.",
    )
    upload_stream_buffers: int = Field(
        32,
        ge=1,
        le=1000,
        description="Buffers of one process. A file uses one to three, so this also limits the files received at "
        "once. 32 buffers of 8 MiB are 256 MiB.",
    )
    upload_stream_tenant_files: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Files one tenant may send at once per process. Default: three quarters of the buffers, so that "
        "slow senders of one tenant leave room for the others.",
    )
    upload_stream_seconds: float = Field(
        21_600.0, gt=0, description="Longest time for one file, seconds. 5 GiB at 2 Mbit/s take 6 hours."
    )
    upload_stream_stall_seconds: float = Field(
        30.0,
        gt=0,
        description="Longest time without a byte from the client, seconds. A phone that changes networks needs 10 to "
        "20 s.",
    )
    upload_stream_least_rate: int = Field(
        16 * KIB,
        ge=0,
        description="Lowest rate of a client after half a minute, bytes per second. A slower client would hold a "
        "buffer for hours. 128 kbit/s is a bad mobile connection.",
    )

    upload_stream_store_seconds: float = Field(
        90.0,
        gt=0,
        description="Longest time without progress of one part at the store, over all attempts, before the answer is "
        "503, seconds. One attempt may take two thirds of it, because a store may sync parts to a shared "
        "disk.",
    )
