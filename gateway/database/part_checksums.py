"""Remember the checksum each part was signed with: not every store lists it, and S3 wants it again to complete."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from gateway.database.engine import Database


async def remember(database: Database, upload_id: UUID, checksums: Mapping[int, str]) -> None:
    """Keep base64 SHA-256 checksums by part number; of a part signed twice the later one."""
    await database.execute(
        """INSERT INTO part_checksums (upload_id, part_number, checksum_sha256)
        SELECT %(upload_id)s, * FROM unnest(%(numbers)s::int[], %(checksums)s::text[])
        ON CONFLICT (upload_id, part_number) DO UPDATE SET checksum_sha256 = excluded.checksum_sha256""",
        {"upload_id": upload_id, "numbers": list(checksums), "checksums": list(checksums.values())},
    )


async def recall(database: Database, upload_id: UUID) -> dict[int, str]:
    """Return the checksums by part number; S3 has at most 10,000 parts."""
    rows = await database.fetch_all(
        "SELECT part_number, checksum_sha256 FROM part_checksums WHERE upload_id = %(id)s LIMIT 10000",
        {"id": upload_id},
    )
    return {row["part_number"]: row["checksum_sha256"] for row in rows}
