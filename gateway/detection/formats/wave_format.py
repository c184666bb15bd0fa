"""Read WAVEFORMATEX, the description of sound in RIFF, ASF and AVI: Microsoft's mmreg.h, RFC 2361."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.detection.verdict import Track, broken

# The numbers seen in the wild. Others are named by number.
WAVE_CODECS = {
    0x0001: "pcm", 0x0002: "adpcm_ms", 0x0003: "pcm_float", 0x0006: "pcm_alaw", 0x0007: "pcm_mulaw",
    0x0011: "adpcm_ima", 0x0020: "adpcm_yamaha", 0x0022: "truespeech", 0x0031: "gsm_ms", 0x0040: "adpcm_g721",
    0x0042: "g723_1",
    0x0045: "adpcm_g726", 0x0050: "mp2", 0x0055: "mp3", 0x0064: "adpcm_g726", 0x0065: "adpcm_g722", 0x00FF: "aac",
    0x0160: "wmav1", 0x0161: "wmav2", 0x0162: "wmapro", 0x0163: "wmalossless", 0x000A: "wmavoice", 0x028F: "adpcm_g722",
    0x1610: "aac", 0x2000: "ac3", 0x2001: "dts", 0xA106: "aac", 0xA109: "speex", 0xF1AC: "flac", 0x566F: "vorbis",
    0x674F: "vorbis", 0x6750: "vorbis", 0x6751: "vorbis", 0xFFFE: "extensible",
}  # fmt: skip
EXTENSIBLE = 0xFFFE
# Codecs whose sound has a constant number of bytes for each sample, so that sizes count samples.
_CONSTANT = frozenset(("pcm", "pcm_float", "pcm_alaw", "pcm_mulaw"))


@dataclass(frozen=True, slots=True)
class WaveFormat:
    """One description: the track, bytes per second, bytes per block and samples in a block (0 where not constant)."""

    track: Track
    byte_rate: int
    block_bytes: int
    block_samples: int

    def seconds(self, size_bytes: int) -> float | None:
        """Return how long so many bytes of sound last, None where the sizes do not tell."""
        rate = self.track.sample_rate_hz or 0
        if self.block_bytes and self.block_samples and rate:
            return round(size_bytes / self.block_bytes * self.block_samples / rate, 3)
        return round(size_bytes / self.byte_rate, 3) if self.byte_rate else None


def describe(fmt: bytes) -> WaveFormat:
    """Check a WAVEFORMATEX. Raises Refused where its numbers are impossible."""
    if len(fmt) < 14:
        raise broken("The format chunk is too short", "wav")
    tag, channels = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[2:4], "little")
    rate, byte_rate = int.from_bytes(fmt[4:8], "little"), int.from_bytes(fmt[8:12], "little")
    block = int.from_bytes(fmt[12:14], "little")
    bits = int.from_bytes(fmt[14:16], "little")
    # 1,024 channels and 3.072 MHz are above every recorder and below nearly all text.
    if not tag or not 1 <= channels <= 1024 or not 1 <= rate <= 3_072_000:
        raise broken("The format chunk names an impossible number of channels or samples", "wav")
    if tag == EXTENSIBLE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], "little")
    name = WAVE_CODECS.get(tag, f"0x{tag:04x}")
    track = Track("audio", _with_bits(name, bits), channels=channels, sample_rate_hz=rate)
    return WaveFormat(track, byte_rate, block, _samples(name, fmt, channels, block))


def _with_bits(name: str, bits: int) -> str:
    """Name uncompressed sound with the size of its samples, as FFmpeg does."""
    if name == "pcm":
        return "pcm_u8" if bits <= 8 else f"pcm_s{(bits + 7) // 8 * 8}le"
    return f"pcm_f{bits}le" if name == "pcm_float" and bits in (32, 64) else name


def _samples(name: str, fmt: bytes, channels: int, block: int) -> int:
    """Return samples in a block: one frame of uncompressed sound, or the count of an ADPCM format (RFC 2361, A.2)."""
    if name in _CONSTANT:
        return 1
    if name == "gsm_ms":
        return 320
    if name in ("adpcm_ms", "adpcm_ima") and block:
        if len(fmt) >= 20 and (stated := int.from_bytes(fmt[18:20], "little")):
            return stated
        if name == "adpcm_ms":
            return max(0, (block - 7 * channels) * 2 // channels + 2)
        return max(0, (block - 4 * channels) * 8 // (4 * channels) + 1)
    return 0


def duration_of(fact_samples: int, rate: int | None) -> float | None:
    """Return the time that a fact chunk states for compressed sound, seconds."""
    return round(fact_samples / rate, 3) if fact_samples and rate else None
