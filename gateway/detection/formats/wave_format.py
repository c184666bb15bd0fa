"""Read WAVEFORMATEX, the description of sound in RIFF, ASF and AVI: Microsoft's mmreg.h, RFC 2361."""

from __future__ import annotations

from gateway.detection.verdict import Track, broken

# The numbers seen in the wild. Others are named by number.
WAVE_CODECS = {
    0x0001: "pcm", 0x0002: "adpcm_ms", 0x0003: "pcm_float", 0x0006: "pcm_alaw", 0x0007: "pcm_mulaw",
    0x0011: "adpcm_ima", 0x0031: "gsm", 0x0050: "mp2", 0x0055: "mp3", 0x00FF: "aac", 0x0160: "wmav1",
    0x0161: "wmav2", 0x0162: "wmapro", 0x0163: "wmalossless", 0x2000: "ac3", 0x2001: "dts", 0xFFFE: "extensible",
}  # fmt: skip


def describe(fmt: bytes) -> tuple[Track, int, int]:
    """Check a WAVEFORMATEX and return the track, bytes a second and the block size."""
    if len(fmt) < 14:
        raise broken("The format chunk is too short", "wav")
    tag, channels = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[2:4], "little")
    rate, byte_rate = int.from_bytes(fmt[4:8], "little"), int.from_bytes(fmt[8:12], "little")
    block = int.from_bytes(fmt[12:14], "little")
    # 1,024 channels and 3.072 MHz are above every recorder and below nearly all text.
    if not tag or not 1 <= channels <= 1024 or not 1 <= rate <= 3_072_000:
        raise broken("The format chunk names an impossible number of channels or samples", "wav")
    if tag == 0xFFFE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")
    return Track("audio", WAVE_CODECS.get(tag, f"0x{tag:04x}")), byte_rate, block
