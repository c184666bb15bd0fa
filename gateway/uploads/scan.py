"""Have an accepted content scanned, where a scanner is set up."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.detection import ScanResult, scan_by_policy
from gateway.domain.upload import Rejection
from gateway.uploads.contents import Contents
from gateway.uploads.gateway import Gateway

# One read of the store, and all that is held of the file at a time.
CHUNK_BYTES = 1024 * 1024


async def scan(gateway: Gateway, contents: Contents) -> ScanResult | None:
    """Read one exact content through the scanner; None where there is no scanner.

    Raises ScannerUnavailable when nobody answers and the policy is `fail_closed`: the upload is then tried again.
    """
    if gateway.scanner is None:
        return None
    return await scan_by_policy(gateway.scanner, gateway.scanner_policy, _chunks(contents), contents.size_bytes)


def rejection_of(result: ScanResult | None) -> Rejection | None:
    """Say why a scanned file is refused, None when it is not."""
    if result is None or result.clean:
        return None
    if result.signature:
        return Rejection("malware_found", f"The scanner found {result.signature} in the file.")
    return Rejection("not_scanned", result.skipped_reason or "The file could not be scanned.")


async def _chunks(contents: Contents) -> AsyncIterator[bytes]:
    for start in range(0, contents.size_bytes, CHUNK_BYTES):
        yield await contents.read(start, CHUNK_BYTES)
