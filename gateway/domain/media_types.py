"""Say which extensions and which declared types fit which family of files.

To take a new name, add it to its family; to take a new family, add a row. `content_type_for` gives an object the first
type that a row lists for its extension, so the canonical (IANA) one stands first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

OCTET_STREAM = "application/octet-stream"
# Extensions that may be uploaded unless the settings say otherwise.
AUDIO_EXTENSIONS = (
    "3ga", "aac", "ac3", "adts", "aif", "aifc", "aiff", "amr", "au", "awb", "caf", "dsf", "dts", "eac3", "ec3", "flac",
    "gsm", "latm", "m4a", "m4b", "m4r", "mka", "mp1", "mp2", "mp3", "mpga", "nist", "oga", "ogg", "opus", "qta", "snd",
    "sph", "spx", "voc", "w64", "wav", "weba", "wma", "wv",
)  # fmt: skip
VIDEO_EXTENSIONS = (
    "264", "3g2", "3gp", "3gpp", "3gpp2", "asf", "avi", "f4v", "flv", "h264", "ivf", "m2t", "m2ts", "m2v", "m4v", "mkv",
    "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "qt", "rm", "rmvb", "ts", "vob", "webm", "wmv",
)  # fmt: skip
# Types that a client sends when it does not know: they declare nothing.
UNDECLARED = frozenset(
    (
        "", OCTET_STREAM, "binary/octet-stream", "application/x-binary", "application/binary", "application/unknown",
        "application/x-unknown", "application/force-download", "application/x-download", "application/download",
        "unknown/unknown", "content/unknown", "null/null", "undefined/undefined", "text/plain",
    )
)  # fmt: skip
# RFC 6838, section 4.2: names of types and subtypes.
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


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
class Proven:
    """The facts about a file's bytes that its name is compared with."""

    family: str
    container: str
    media_type: str
    kind: str
    audio_codec: str | None = None


@dataclass(frozen=True, slots=True)
class Naming:
    """The judgement of a name: whether its extension fits the bytes, the name that would, and a sentence for strict."""

    extension_mismatch: bool = False
    suggested_filename: str | None = None
    detail: str | None = None


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
            "3gpp": ("video/3gpp", "audio/3gpp"),
            "3g2": ("video/3gpp2", "audio/3gpp2"),
            "3gpp2": ("video/3gpp2", "audio/3gpp2"),
            "3ga": ("audio/3gpp", "audio/mp4"),
            "m4r": ("audio/mp4", "audio/x-m4r"),
            "qta": ("video/quicktime", "audio/quicktime"),
        },
        "RFC 4337 (mp4), IANA video/quicktime, RFC 3839 (3gpp), RFC 4393 (3gpp2); Apple, Adobe, Samsung (the others)",
        audio_only=frozenset(("m4a", "m4b", "m4r", "qta", "3ga")),
    ),
    Family(
        "matroska",
        {
            "mkv": ("video/matroska", "video/x-matroska", "audio/matroska", "audio/x-matroska"),
            "mka": ("audio/matroska", "audio/x-matroska"),
            "webm": ("video/webm", "audio/webm"),
            "weba": ("audio/webm",),
        },
        "RFC 9559, section 27.3 (matroska); WebM Project, WebM Container Guidelines (webm)",
        audio_only=frozenset(("mka", "weba")),
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
            "m2t": ("video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mpeg"),
            "mts": ("video/mp2t", "video/vnd.dlna.mpeg-tts", "video/mpeg", "model/vnd.mts"),
        },
        "RFC 3555 (mp2t); IANA gives .mts to model/vnd.mts, which browsers declare for camcorder files",
    ),
    Family("wavpack", {"wv": ("audio/x-wavpack", "audio/wavpack")}, "wavpack.com, file_format.txt; not registered"),
    Family("voc", {"voc": ("audio/x-voc", "audio/voc")}, "Creative Labs, Creative Voice File; not registered"),
    Family("dsf", {"dsf": ("audio/x-dsf", "audio/dsf", "audio/dsd")}, "Sony, DSF File Format; not registered"),
    Family(
        "sphere",
        {"sph": ("audio/x-nist-sphere", "audio/x-nist"), "nist": ("audio/x-nist-sphere", "audio/x-nist")},
        "NIST, SPHERE 2.6; not registered",
    ),
    Family("dts", {"dts": ("audio/vnd.dts", "audio/vnd.dts.hd", "audio/x-dts")}, "IANA audio/vnd.dts"),
    Family("gsm", {"gsm": ("audio/x-gsm", "audio/gsm")}, "RFC 3551, 4.5.8.1; the file is not registered"),
    Family("ivf", {"ivf": ("video/x-ivf",)}, "WebM Project, libvpx; not registered"),
    Family("mxf", {"mxf": ("application/mxf", "video/mxf")}, "RFC 4539"),
    Family(
        "realmedia",
        {
            "rm": ("application/vnd.rn-realmedia", "video/vnd.rn-realvideo", "audio/vnd.rn-realaudio"),
            "rmvb": ("application/vnd.rn-realmedia-vbr", "application/vnd.rn-realmedia", "video/vnd.rn-realvideo"),
        },
        "IANA application/vnd.rn-realmedia",
        also=frozenset(("video/vnd.rn-realvideo", "audio/vnd.rn-realaudio", "audio/x-pn-realaudio")),
    ),
    Family("annexb", {"h264": ("video/H264",), "264": ("video/H264",)}, "RFC 6184 (H264)"),
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


def judge_name(filename: str, extension: str, proven: Proven) -> Naming:
    """Compare a file's extension with its proven bytes; the bytes outrank every guess, and no declared type counts.

    An extension that no family lists is no evidence. An extension of sound alone does not fit a file that shows video.
    """
    named = _BY_EXTENSION.get(extension.lower().lstrip("."))
    fits = named is None or named.name == proven.family
    if named and fits and proven.kind == "video" and extension.lower().lstrip(".") in named.audio_only:
        fits = False
    if fits:
        return Naming()
    common, fitting = common_name(proven)
    stem = filename.strip().rstrip(". ").rpartition(".")[0] or "file"
    suggested = f"{stem}.{fitting}" if fitting else None
    advice = f" Rename it to {suggested}." if suggested else ""
    return Naming(extension_mismatch=True, suggested_filename=suggested, detail=f"This is {common}.{advice}")


# Containers by the name that people use, and the extensions that fit: for sound, and for video where it differs.
_COMMON: dict[str, tuple[str, str, str]] = {
    "mp4": ("an MP4 file", "m4a", "mp4"),
    "mov": ("a QuickTime file", "mov", "mov"),
    "3gp": ("a 3GP file", "3gp", "3gp"),
    "3g2": ("a 3G2 file", "3g2", "3g2"),
    "webm": ("a WebM file", "webm", "webm"),
    "mkv": ("a Matroska file", "mka", "mkv"),
    "ogg": ("an Ogg file", "ogg", "ogv"),
    "flac": ("a FLAC file", "flac", "flac"),
    "wav": ("a WAV file", "wav", "wav"),
    "w64": ("a Wave64 file", "w64", "w64"),
    "avi": ("an AVI film", "avi", "avi"),
    "aiff": ("an AIFF file", "aiff", "aiff"),
    "caf": ("a Core Audio file", "caf", "caf"),
    "au": ("an AU file", "au", "au"),
    "asf": ("a Windows Media file", "wma", "wmv"),
    "flv": ("a Flash video", "flv", "flv"),
    "amr": ("an AMR recording", "amr", "amr"),
    "awb": ("an AMR recording", "awb", "awb"),
    "mp1": ("an MPEG audio file", "mp1", "mp1"),
    "mp2": ("an MP2 file", "mp2", "mp2"),
    "mp3": ("an MP3 file", "mp3", "mp3"),
    "aac": ("an AAC file", "aac", "aac"),
    "loas": ("an AAC file", "latm", "latm"),
    "ac3": ("an AC-3 file", "ac3", "ac3"),
    "eac3": ("an E-AC-3 file", "eac3", "eac3"),
    "mpg": ("an MPEG film", "mpg", "mpg"),
    "ts": ("an MPEG transport stream", "ts", "ts"),
    "wv": ("a WavPack file", "wv", "wv"),
    "voc": ("a Creative Voice file", "voc", "voc"),
    "dsf": ("a DSF file", "dsf", "dsf"),
    "sph": ("a NIST SPHERE file", "sph", "sph"),
    "dts": ("a DTS file", "dts", "dts"),
    "gsm": ("a GSM recording", "gsm", "gsm"),
    "ivf": ("an IVF film", "ivf", "ivf"),
    "mxf": ("an MXF film", "mxf", "mxf"),
    "rm": ("a RealMedia file", "rm", "rm"),
    "h264": ("a bare H.264 film", "h264", "h264"),
}


def common_name(proven: Proven) -> tuple[str, str | None]:
    """Return the name that people use for a format, with its article, and the extension that fits the bytes."""
    name, for_sound, for_video = _COMMON.get(proven.container, (f"a file of type {proven.media_type}", "", ""))
    if proven.container == "mp4" and proven.kind == "audio":
        name = "an M4A file"
    if proven.container == "ogg" and proven.audio_codec == "opus" and proven.kind == "audio":
        return "an Opus file", "opus"
    return name, (for_video if proven.kind == "video" else for_sound) or None


def declared_type(hint: object) -> str | None:
    """Return the media type that a client declared, bare and in lower case; None for a hint that means nothing.

    Browsers, phones and libraries send `video`, `mp3`, `audio/*`, `null` or nothing at all; no hint is an error.
    """
    declared = bare_type(hint) if isinstance(hint, str) else ""
    return declared if _TYPE.fullmatch(declared) and declared not in UNDECLARED else None


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
