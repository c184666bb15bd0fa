"""Hold the answer about one file: the facts that were proven, or the check that refused it and the reason."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

Kind = Literal["audio", "video", "image", "document", "archive"]
Check = Literal[
    "empty",  # there are no bytes
    "beginning",  # the first bytes are those of a page, a script, a program or an archive
    "unknown",  # no known format begins like this
    "structure",  # it begins like a known format and then breaks that format's rules
    "truncated",  # the file ends inside a structure that it announced
    "tracks",  # the structure holds neither audio nor video
    "budget",  # the proof would take more reads than one file may cost
    "magic",  # puremagic sees another family
    "hidden",  # the media carries a second format that another program would open
    "kind",  # the format is known and right, but this policy does not take its kind
]

Request = tuple[int, int]
T = TypeVar("T")
# A look asks for (start, length) and is sent the bytes there: the same code serves a store, a file and bytes.
Look = Generator[Request, bytes, T]


@dataclass(frozen=True, slots=True)
class Track:
    """One stream inside a container; a fact is None if no header states it.

    `codec_name` is the container's own name for the codec; `codec` is the name by RFC 6381 and the WebCodecs registry,
    the same for every container. Language is a BCP 47 or ISO 639 tag, frame rate is in pictures per second.
    """

    kind: Literal["audio", "video", "other"]
    codec_name: str | None = None
    codec: str | None = None
    channels: int | None = None
    sample_rate_hz: int | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None
    language: str | None = None
    duration_seconds: float | None = None


# `stated` by a header, `counted` from the sizes of uncompressed sound or from frames, `estimated` from a bit rate.
DurationSource = Literal["stated", "counted", "estimated"]


@dataclass(frozen=True, slots=True)
class Structure:
    """The proven structure of a file.

    `end_bytes` is the offset at which the format states its end, None where it does not state one. `complete` is False
    for a file that plays but was cut, None where the format does not tell; `available_seconds` is then how far the
    sound or pictures go.
    """

    container: str
    family: str
    media_type: str
    kind: Kind
    tracks: tuple[Track, ...] = ()
    duration_seconds: float | None = None
    end_bytes: int | None = None
    duration_is: DurationSource | None = None
    complete: bool | None = None
    available_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of the scanner; with `skipped_reason` the file was not scanned, and `clean` has no meaning."""

    clean: bool
    signature: str | None = None
    skipped_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer about one file; `check` and `reason` are set when, and only when, it is refused.

    `bit_rate` is the mean of the whole file in bits per second. `scan` is the answer of the malware scanner for an
    accepted file, None where no scanner is set up.
    """

    accepted: bool
    container: str | None = None
    family: str | None = None
    media_type: str | None = None
    kind: Kind | None = None
    tracks: tuple[Track, ...] = field(default=())
    duration_seconds: float | None = None
    duration_is: DurationSource | None = None
    bit_rate: int | None = None
    complete: bool | None = None
    available_seconds: float | None = None
    check: Check | None = None
    reason: str | None = None
    by_magic_alone: bool = False
    reads: int = 0
    bytes_read: int = 0
    scan: ScanResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that any JSON encoder takes."""
        return asdict(self) | {"tracks": [asdict(track) for track in self.tracks]}


class Refused(Exception):
    """A check refused the file.

    Carries the container when it was recognised before it broke.
    """

    def __init__(self, check: Check, reason: str, container: str | None = None) -> None:
        self.check: Check = check
        self.reason = reason
        self.container = container
        super().__init__(reason)


def text(raw: bytes) -> str | None:
    """Return a name in a file as printable ASCII, in hex if it is not printable; None for an empty one.

    A NUL cannot be stored in the database, and an escape sequence has no place in a log or a terminal.
    """
    name = raw.strip(b"\x00 ")
    if not name:
        return None
    return name.decode("ascii") if all(0x20 <= byte < 0x7F for byte in name) else "0x" + name.hex()


def rounded(seconds: float) -> float | None:
    """Round a duration to milliseconds, one below a millisecond to microseconds; None for no time at all."""
    return round(seconds, 3 if seconds >= 0.001 else 6) or None


def truncated(what: str, container: str | None = None) -> Refused:
    """Build the refusal of a file that ends inside a structure it announced."""
    return Refused("truncated", f"The file ends inside {what}: it was cut short. Upload the complete file.", container)


def broken(what: str, container: str | None = None) -> Refused:
    """Build the refusal of a file that breaks the rules of the format it begins like."""
    return Refused("structure", f"{what}: the file is damaged, or is not what it begins like.", container)
