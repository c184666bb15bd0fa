"""Give a codec the same name in every container: by RFC 6381 and the WebCodecs registry, else its usual short name."""

from __future__ import annotations

# Names of containers, in lower case, by the one name. Matroska's ids, RIFF's and FLV's names, MP4's sample entries.
_NAMES: dict[str, tuple[str, ...]] = {
    "mp4a.40.2": ("aac", "mp4a", "a_aac", "aac_latm"),
    "mp3": ("mp3", ".mp3", "a_mpeg/l3", "mp4a.6b"),
    "mp2": ("mp2", "a_mpeg/l2", "mpeg"),
    "mp1": ("mp1", "a_mpeg/l1"),
    "opus": ("opus", "a_opus"),
    "vorbis": ("vorbis", "a_vorbis"),
    "flac": ("flac", "a_flac"),
    "alac": ("alac", "a_alac"),
    "ac-3": ("ac3", "ac-3", "a_ac3", "a_ac3/bsid9", "a_ac3/bsid10"),
    "ec-3": ("eac3", "ec-3", "a_eac3"),
    "dtsc": ("dts", "dtsc", "a_dts"),
    "mlpa": ("truehd", "mlpa", "a_truehd"),
    "mhm1": ("mpegh", "mhm1", "mha1"),
    "samr": ("amr", "samr", "amr_nb"),
    "sawb": ("amr-wb", "sawb", "amr_wb"),
    "speex": ("speex",),
    "tta": ("tta", "a_tta1"),
    "gsm": ("gsm", "agsm"),
    "g723_1": ("g723_1", "0x0042"),
    "div3": ("div3", "mp43", "div4", "mpg3"),
    "alaw": ("pcm_alaw", "alaw"),
    "ulaw": ("pcm_mulaw", "ulaw"),
    "pcm-u8": ("pcm_u8", "raw"),
    "pcm-s8": ("pcm_s8", "pcm_s8be", "pcm_s8le"),
    "pcm-s16": ("pcm_s16le", "pcm_s16be", "twos", "sowt", "a_pcm/int/lit", "a_pcm/int/big", "none", "pcm"),
    "pcm-s24": ("pcm_s24le", "pcm_s24be", "in24"),
    "pcm-s32": ("pcm_s32le", "pcm_s32be", "in32"),
    "pcm-f32": ("pcm_f32le", "pcm_f32be", "fl32", "a_pcm/float/ieee", "pcm_float"),
    "pcm-f64": ("pcm_f64le", "pcm_f64be", "fl64"),
    "avc1": ("h264", "avc1", "avc3", "x264", "v_mpeg4/iso/avc", "davc"),
    "hvc1": ("hevc", "hvc1", "hev1", "v_mpegh/iso/hevc", "h265", "dvh1", "dvhe"),
    "vvc1": ("vvc", "vvc1", "vvi1"),
    "vp8": ("vp8", "vp80", "v_vp8"),
    "vp09": ("vp9", "vp90", "vp09", "v_vp9"),
    "av01": ("av1", "av01", "v_av1"),
    "mp4v.20": ("mpeg4", "mp4v", "xvid", "divx", "dx50", "fmp4", "v_mpeg4/iso/asp", "v_mpeg4/iso/sp"),
    "mp4v.61": ("mpeg2video", "v_mpeg2", "mpg2", "m2v1", "hdv2"),
    "mp4v.6a": ("mpeg1video", "v_mpeg1", "mpg1", "m1v"),
    "theora": ("theora", "v_theora"),
    "mjpeg": ("mjpeg", "mjpg", "jpeg", "mjpa", "v_mjpeg", "dmb1"),
    "s263": ("h263", "s263"),
}
_BY_NAME = {name: one for one, names in _NAMES.items() for name in names}


def one_name(codec_name: str | None) -> str | None:
    """Return the one name for a container's own name; the own name in lower case where there is no other."""
    if codec_name is None:
        return None
    lowered = codec_name.strip().lower()
    if lowered in _BY_NAME:
        return _BY_NAME[lowered]
    if lowered.startswith("a_aac"):
        return "mp4a.40.2"
    return lowered
