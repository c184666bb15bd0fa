"""Every format, cut at every length and damaged in every byte of its first structure, is answered without a mistake."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from gateway.detection import inspect_bytes
from tests.property.test_detection import EVERYTHING, check
from tests.unit.detection import media, test_handmade
from tests.unit.detection.mistakes import no_mistakes

__all__ = ["no_mistakes"]
pytestmark = pytest.mark.usefixtures("no_mistakes")

HANDMADE: dict[str, bytes] = {
    "adif": test_handmade.adif(),
    "amr-wb": b"#!AMR-WB\n" + (b"\x44" + bytes(60)) * 8,
    "ts": test_handmade.transport_stream((0x1B, b""), (0x06, b"\x6a\x01\x00"), (0x06, b"\x05\x04Opus")),
    "info frame": (b"\xff\xfb\x90\x64" + bytes(32) + b"Xing" + bytes(8)).ljust(417, b"\0"),
    "private packets": bytes.fromhex("000001bd0000 000001bd000100"),
    "packs": (b"\0\0\1\xba\x44" + bytes(9) + b"\0\0\1\xe0\0\x08\x80\0\0" + bytes(5)) * 8,
    "sequence": bytes.fromhex("000001b30b009013ffffe018 000001b50000 00000100000f0000 0000010112 0000010213"),
    "ape tag": b"APETAGEX" + bytes(24) + media.genuine("bare.mp3")[:2000],
    "id3 tag": media.id3(media.id3_frame(b"TIT2", b"\0title")) + media.genuine("bare.mp3")[:2000],
    "pdf": media.PDF,
    "zip": media.zip_archive(b"comment"),
}
NAMES = [recipe.name for recipe in media.RECIPES] + [recipe.name for recipe in media.IMAGES.values()] + list(HANDMADE)
LARGEST = 6000
WIDTHS = (1, 2, 3, 4, 8)
VALUES = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def original(name: str) -> bytes:
    return HANDMADE[name] if name in HANDMADE else media.genuine(name)


def damaged(name: str, data: bytes) -> Iterator[bytes]:
    """Cut at every length, write over each early byte, and put edges into fields of every width."""
    yield data
    reach = min(len(data), 200)
    for length in range(reach):
        yield data[:length]
    for at in range(reach):
        yield data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 : LARGEST]
    # Seeded with the name: the same files in every run.
    draw = random.Random(name)
    for _ in range(200):
        changed = bytearray(data[: draw.choice((200, 1000, LARGEST))])
        for _ in range(draw.choice((1, 2, 3))):
            width, at = draw.choice(WIDTHS), draw.randrange(min(len(changed), draw.choice((48, 400))))
            value = draw.choice((*VALUES, len(data))) & ((1 << 8 * width) - 1)
            changed[at : at + width] = value.to_bytes(width, draw.choice(("big", "little")))
        yield bytes(changed[: draw.choice((len(changed), draw.randrange(len(changed))))])


@pytest.mark.parametrize("name", NAMES)
def test_damage_is_answered(name: str) -> None:
    """Nothing raises, nothing is logged as a mistake, and every answer is within the budget."""
    for data in damaged(name, original(name)):
        check(inspect_bytes(data, allowed_kinds=EVERYTHING))
