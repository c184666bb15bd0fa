"""Name sound and films of formats that are not accepted, so that a person knows what to export instead."""

from __future__ import annotations

# (offset, first bytes, name, format to export): the formats' own documents, and FFmpeg's probes.
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x02dss", "an Olympus DSS dictation", "WAV"),
    (0, b"\x03ds2", "an Olympus DS2 dictation", "WAV"),
    (0, b"\x03enc", "an encrypted Olympus DS2 dictation", "WAV without a password"),
    (0, b"FRM8", "a DSDIFF file", "WAV or FLAC"),
    (0, b"MAC ", "a Monkey's Audio file", "WAV or FLAC"),
    (0, b"MPCK", "a Musepack file", "WAV or FLAC"),
    (0, b"MP+", "a Musepack file", "WAV or FLAC"),
    (0, b"TTA1", "a True Audio file", "WAV or FLAC"),
    (0, b"tBaK", "a TAK file", "WAV or FLAC"),
    (0, b"OFR ", "an OptimFROG file", "WAV or FLAC"),
    (0, b"ajkg", "a Shorten file", "WAV or FLAC"),
    (0, b"\x1f\xff\xe8\x00", "a DTS stream in words of 14 bits", "WAV or FLAC"),
    (0, b"\xff\x1f\x00\xe8", "a DTS stream in words of 14 bits", "WAV or FLAC"),
    (4, b"\xf8\x72\x6f\xba", "a TrueHD stream", "WAV or FLAC"),
    (4, b"\x57\x90\x75\x36", "an Audible book", "M4B"),
    (0, b".ra\xfd", "a RealAudio file", "WAV"),
    (0, b"\x00\x00\x00\x01\x40\x01", "a bare HEVC stream", "MP4"),
    (0, b"\x00\x00\x00\x01\x46\x01", "a bare HEVC stream", "MP4"),
    (0, b"nut/multimedia container", "a NUT film", "MP4"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound", "WAV"),
    (8, b"QLCM", "a QCP recording", "WAV"),
)


def advice_for(head: bytes) -> str | None:
    """Return a sentence with the format's name and what to export instead, None for unknown bytes."""
    for offset, magic, name, export in _FOREIGN:
        if head.startswith(magic, offset):
            return f"This is {name}, which is not accepted here. Export it as {export}."
    return None
