"""Tell audio and video from look-alikes, from a few kilobytes read by ranges."""

from gateway.detection.engine import AUDIO_VIDEO, examine, inspect, inspect_bytes, inspect_file
from gateway.detection.scanner import ClamdScanner, Scanner, ScannerPolicy, scan_by_policy
from gateway.detection.source import BytesReader, FileReader, RangeReader
from gateway.detection.verdict import Check, Kind, ScanResult, Track, Verdict

__all__ = [
    "AUDIO_VIDEO",
    "BytesReader",
    "Check",
    "ClamdScanner",
    "FileReader",
    "Kind",
    "RangeReader",
    "ScanResult",
    "Scanner",
    "ScannerPolicy",
    "Track",
    "Verdict",
    "examine",
    "inspect",
    "inspect_bytes",
    "inspect_file",
    "scan_by_policy",
]
