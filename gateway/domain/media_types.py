"""Say which extensions and which declared types fit which family of files.

To take a new name, add it to its family; to take a new family, add a row. `content_type_for` gives an object the first
type that a row lists for its extension, so the canonical (IANA) one stands first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OCTET_STREAM = "application/octet-stream"
# What may be uploaded unless the settings say otherwise.
AUDIO_EXTENSIONS = (
    "aac", "ac3", "aif", "aifc", "aiff", "amr", "au", "awb", "caf", "flac", "m4a", "m4b", "mka", "mp1", "mp2", "mp3",
    "oga", "ogg", "opus", "snd", "spx", "w64", "wav", "wma",
)  # fmt: skip
VIDEO_EXTENSIONS = (
    "3g2", "3gp", "asf", "avi", "f4v", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "ogv", "qt",
    "ts", "vob", "webm", "wmv",
)  # fmt: skip
# What a client sends when it does not know; it declares nothing.
UNDECLARED = frozenset(("", OCTET_STREAM, "binary/octet-stream", "application/x-binary", "*/*"))


@dataclass(frozen=True, slots=True)
class Family:
    """Names that one family of formats goes by.

    `types` maps each extension to the media types that fit it, canonical first. `audio_only` are extensions whose
    name promises that nothing moves. `also` are further types that clients declare for any file of the family.
    """

    name: str
    types: dict[str, tuple[str, ...]]
    source: str
    audio_only: frozenset[str] = frozenset()
    also: frozenset[str] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What the name or the client says is not what the bytes are."""

    code: Literal["extension_mismatch", "content_type_mismatch"]
    detail: str


FAMILIES: tuple[Family, ...] = (
    Family(
        "isobmff",
        {
            "mp4": ("video/mp4", "audio/mp4", "application/mp4"),
            "m4v": ("video/mp4", "video/x-m4v"),
            "m4a": ("audio/mp4", "audio/x-m4a", "audio/m4a", "audio/aac"),
            "m4b": ("audio/mp4", "audio/x-m4b", "audio/x-m4a"),
            "f4v": ("video/mp4", "video/x-f4v"),
            "mov": ("video/quicktime",),
            "qt": ("video/quicktime",),
            "3gp": ("video/3gpp", "audio/3gpp"),
            "3g2": ("video/3gpp2", "audio/3gpp2"),
        },
        "RFC 4337 (mp4), IANA video/quicktime, RFC 3839 (3gpp), RFC 4393 (3gpp2); Apple, Adobe (m4a, m4b, f4v)",
        audio_only=frozenset(("m4a", "m4b")),
    ),
    Family(
        "matroska",
        {
            "mkv": ("video/matroska", "video/x-matroska", "audio/matroska", "audio/x-matroska"),
            "mka": ("audio/matroska", "audio/x-matroska"),
            "webm": ("video/webm", "audio/webm"),
        },
        "RFC 9559, section 27.3 (matroska); WebM Project, WebM Container Guidelines (webm)",
        audio_only=frozenset(("mka",)),
    ),
    Family(
        "ogg",
        {
            "ogg": ("audio/ogg", "video/ogg", "application/ogg", "audio/vorbis", "audio/x-vorbis+ogg"),
            "oga": ("audio/ogg", "application/ogg", "audio/flac"),
            "ogv": ("video/ogg", "application/ogg"),
            "opus": ("audio/ogg", "audio/opus", "application/ogg"),
            "spx": ("audio/ogg", "audio/speex", "audio/x-speex", "application/ogg"),
        },
        "RFC 5334 (ogg), RFC 7845 (opus), RFC 5574 (speex)",
        audio_only=frozenset(("oga", "opus", "spx")),
    ),
    Family("flac", {"flac": ("audio/flac", "audio/x-flac")}, "RFC 9639, section 12"),
    Family(
        "wav",
        {
            "wav": ("audio/vnd.wave", "audio/wav", "audio/x-wav", "audio/wave", "audio/x-pn-wav"),
            "w64": ("audio/x-w64",),
        },
        "RFC 2361 (vnd.wave); WHATWG MIME Sniffing (wave); w64 is not registered",
    ),
    Family("avi", {"avi": ("video/vnd.avi", "video/x-msvideo", "video/avi", "video/msvideo")}, "RFC 2361 (vnd.avi)"),
    Family(
        "aiff",
        {
            "aiff": ("audio/aiff", "audio/x-aiff"),
            "aif": ("audio/aiff", "audio/x-aiff"),
            "aifc": ("audio/aiff", "audio/x-aiff", "audio/x-aifc"),
        },
        "WHATWG MIME Sniffing, section 6.2 (aiff); not registered with IANA",
    ),
    Family("caf", {"caf": ("audio/x-caf", "audio/caf")}, "Apple, Core Audio Format Specification; not registered"),
    Family(
        "au",
        {"au": ("audio/basic", "audio/x-au", "audio/au"), "snd": ("audio/basic", "audio/x-au", "audio/au")},
        "RFC 2046, section 4.3 (basic)",
    ),
    Family(
        "asf",
        {
            "wma": ("audio/x-ms-wma",),
            "wmv": ("video/x-ms-wmv",),
            "asf": ("application/vnd.ms-asf", "video/x-ms-asf"),
        },
        "IANA application/vnd.ms-asf; Microsoft, Windows Media file name extensions (wma, wmv)",
        audio_only=frozenset(("wma",)),
        also=frozenset(("application/vnd.ms-asf", "video/x-ms-asf", "audio/x-ms-wma", "video/x-ms-wmv")),
    ),
    Family(
        "flv", {"flv": ("video/x-flv", "audio/x-flv", "video/flv")}, "Adobe, Video File Format 10.1; not registered"
    ),
    Family(
        "amr",
        {"amr": ("audio/AMR", "audio/3gpp"), "awb": ("audio/AMR-WB", "audio/3gpp")},
        "RFC 4867, section 8",
    ),
    Family(
        "mpeg-audio",
        {
            "mp3": ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/x-mpeg", "audio/mpeg3"),
            "mp2": ("audio/mpeg", "audio/mp2", "audio/x-mp2"),
            "mp1": ("audio/mpeg", "audio/mp1"),
            "mpga": ("audio/mpeg",),
        },
        "RFC 3003",
    ),
    Family(
        "aac",
        {
            "aac": ("audio/aac", "audio/aacp", "audio/x-aac", "audio/x-hx-aac-adts", "audio/vnd.dlna.adts"),
            "adts": ("audio/aac", "audio/aacp"),
            "loas": ("audio/mp4a-latm", "audio/aac"),
            "latm": ("audio/mp4a-latm", "audio/aac"),
        },
        "IANA audio/aac (ISO/IEC 14496-3); RFC 6416 (mp4a-latm)",
        also=frozenset(("audio/mp4a-latm",)),
    ),
    Family(
        "ac3",
        {"ac3": ("audio/ac3", "audio/x-ac3"), "eac3": ("audio/eac3", "audio/ac3"), "ec3": ("audio/eac3",)},
        "RFC 4184 (ac3), RFC 4598 (eac3)",
        also=frozenset(("audio/eac3",)),
    ),
    Family(
        "mpeg-ps",
        {
            "mpg": ("video/mpeg", "video/mp2p"),
            "mpeg": ("video/mpeg", "video/mp2p"),
            "m2v": ("video/mpeg",),
            "vob": ("video/mpeg", "video/dvd", "video/x-ms-vob", "video/mp2p"),
        },
        "RFC 2045 and 4337 (mpeg), RFC 3555 (mp2p)",
    ),
    Family(
        "mpeg-ts",
        {
            "ts": ("video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mpeg"),
            "m2ts": ("video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mpeg"),
            "mts": ("video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mpeg", "model/vnd.mts"),
        },
        "RFC 3555 (mp2t); IANA gives .mts to model/vnd.mts, which browsers declare for camcorder files",
    ),
    Family("png", {"png": ("image/png",)}, "IANA image/png (W3C PNG)"),
    Family("jpeg", {"jpg": ("image/jpeg", "image/jpg"), "jpeg": ("image/jpeg", "image/jpg")}, "RFC 2045"),
    Family("gif", {"gif": ("image/gif",)}, "RFC 2045"),
    Family("webp", {"webp": ("image/webp",)}, "RFC 9649"),
    Family(
        "heif",
        {"heic": ("image/heic", "image/heif"), "heif": ("image/heif", "image/heic"), "avif": ("image/avif",)},
        "IANA image/heic, image/heif, image/avif",
    ),
    Family("pdf", {"pdf": ("application/pdf",)}, "RFC 8118"),
    Family(
        "zip", {"zip": ("application/zip", "application/x-zip-compressed", "application/x-zip")}, "IANA application/zip"
    ),
)
_BY_NAME = {family.name: family for family in FAMILIES}
_BY_EXTENSION = {extension: family for family in FAMILIES for extension in family.types}


def match(
    family: str, media_type: str, kind: str, extension: str, declared_content_type: str | None
) -> Mismatch | None:
    """Compare what was seen with the extension and the declared type; None when both fit.

    An extension that no family lists says nothing. An extension of sound alone does not fit a file that shows video.
    """
    seen = _BY_NAME.get(family)
    extension = extension.lower().lstrip(".")
    named = _BY_EXTENSION.get(extension)
    if named and (seen is None or named.name != seen.name):
        return Mismatch("extension_mismatch", f"The file is {media_type}, which is not what .{extension} stands for.")
    if named and kind == "video" and extension in named.audio_only:
        return Mismatch(
            "extension_mismatch", f"The file holds video ({media_type}), but .{extension} stands for audio."
        )
    declared = bare_type(declared_content_type)
    if declared not in UNDECLARED and declared not in _types_of(seen, media_type):
        return Mismatch("content_type_mismatch", f"The file is {media_type}, but was declared as {declared}.")
    return None


def content_type_for(extension: str) -> str:
    """Return the canonical media type of an extension, application/octet-stream when no family lists it."""
    extension = extension.lower().lstrip(".")
    family = _BY_EXTENSION.get(extension)
    return family.types[extension][0] if family else OCTET_STREAM


def family_of(extension: str) -> str | None:
    """Return the name of the family that lists an extension."""
    family = _BY_EXTENSION.get(extension.lower().lstrip("."))
    return family.name if family else None


def bare_type(content_type: str | None) -> str:
    """Return type/subtype in lower case without parameters; '' for None."""
    return (content_type or "").partition(";")[0].strip().lower()


def _types_of(family: Family | None, media_type: str) -> frozenset[str]:
    if family is None:
        return frozenset((media_type.lower(),))
    listed = {name.lower() for names in family.types.values() for name in names}
    return frozenset(listed | {name.lower() for name in family.also} | {media_type.lower()})
