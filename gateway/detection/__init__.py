"""Tell audio and video from look-alikes, from a few kilobytes read by ranges."""

from gateway.detection.engine import AUDIO_VIDEO, examine, inspect, inspect_bytes, inspect_file
from gateway.detection.source import BytesReader, FileReader, RangeReader
from gateway.detection.verdict import Check, Kind, Track, Verdict

__all__ = [
    "AUDIO_VIDEO",
    "BytesReader",
    "Check",
    "FileReader",
    "Kind",
    "RangeReader",
    "Track",
    "Verdict",
    "examine",
    "inspect",
    "inspect_bytes",
    "inspect_file",
]
