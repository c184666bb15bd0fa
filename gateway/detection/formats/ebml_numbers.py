"""Decode the ids and sizes of EBML elements: RFC 8794, sections 4 and 5."""

from __future__ import annotations

# The size of an element that ends where the next one of its level begins.
UNKNOWN = -1


def parse_element(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Decode one id (1 to 4 bytes) and one size (1 to 8 bytes) at an offset of these bytes."""
    if at >= len(data) or data[at] < 0x10:
        return None
    id_length = 9 - data[at].bit_length()
    size_at = at + id_length
    if size_at >= len(data) or data[size_at] == 0:
        return None
    size_length = 9 - data[size_at].bit_length()
    if size_at + size_length > len(data):
        return None
    mask = (1 << (7 * size_length)) - 1
    size = int.from_bytes(data[size_at : size_at + size_length]) & mask
    return int.from_bytes(data[at:size_at]), size_at + size_length, UNKNOWN if size == mask else size
