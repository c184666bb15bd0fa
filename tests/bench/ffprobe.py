"""Compare media facts with ffprobe's answers: `python -m tests.bench.ffprobe --corpus DIR [--corpus DIR …]`.

A folder has a manifest.jsonl as for `tests.bench.detection`; without one, files are made with ffmpeg. Only genuine
files that decode cleanly and that detection accepts are compared. Where ffprobe warns that it only estimates the
duration from a bit rate, the length of what ffmpeg decodes is compared. ffprobe's answers are kept in `--cache`, by
path, size and time of change. `--json` prints one line for each file; the tables otherwise, and each difference.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Run as a file, not as a module, this folder is all that Python knows.
sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.detection import Track, Verdict, inspect_file
from gateway.detection.codecs import one_name
from tests.bench.detection import Sample, make_corpus, read_corpus

COMMAND = ("ffprobe", "-hide_banner", "-v", "warning", "-print_format", "json", "-show_format", "-show_streams")
# ffprobe divides the size by the first frame's bit rate then: what it decodes is compared instead.
ESTIMATE = b"Estimating duration from bitrate"
WITHIN_SHARE, WITHIN_SECONDS = 0.02, 0.1
_ALS = "mp4a.40.36"
_PRORES = frozenset(("apco", "apcs", "apcn", "apch", "ap4h", "ap4x"))
FACTS = ("duration", "duration, estimates too", "codec", "channels", "rate", "picture")
# ffprobe's names of decoders, where they differ from the one name by more than an alias of `codecs`.
_SAME = {"adpcm_ima_wav": "adpcm_ima", "adpcm_ima_qt": "ima4", "mp4als": "mp4a.40.36", "msmpeg4v3": "div3",
         "msmpeg4v2": "mp42", "flv1": "h263", "vp6f": "vp6", "dvvideo": "dvsd",
         "pcm_bluray": "pcm", "pcm_dvd": "lpcm", "wmv2": "wmv2", "rawvideo": "yuv2", "theora": "theora"}  # fmt: skip


@dataclass(slots=True)
class Compared:
    """One file: for each fact, whether ours equals ffprobe's; a fact that ffprobe does not have is left out."""

    file: str
    container: str
    facts: dict[str, list[bool]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def note(self, fact: str, ours: object, theirs: object, *, equal: bool) -> None:
        """Count one comparison."""
        self.facts.setdefault(fact, []).append(equal)
        if not equal:
            self.differences.append(f"{fact}: {ours} here, {theirs} by ffprobe")


def probe(paths: Iterable[Path], cache_path: Path) -> dict[Path, dict[str, Any]]:
    """Return ffprobe's answer for each file, from the cache where the file has not changed."""
    cache: dict[str, Any] = json.loads(cache_path.read_text()) if cache_path.exists() else {}
    keys = {path: f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths}

    def ask(path: Path) -> tuple[Path, dict[str, Any]]:
        done = subprocess.run((*COMMAND, str(path)), capture_output=True, check=False, timeout=60)
        answer = json.loads(done.stdout or b"{}")
        if ESTIMATE in done.stderr:
            answer["decoded_seconds"] = decoded_seconds(path)
        return path, answer

    with ThreadPoolExecutor(2) as pool:
        for path, answer in pool.map(ask, [path for path, key in keys.items() if key not in cache]):
            cache[keys[path]] = answer
    cache_path.write_text(json.dumps(cache))
    return {path: cache[key] for path, key in keys.items()}


def decoded_seconds(path: Path) -> float:
    """Return the time of the last sample or picture that ffmpeg decodes."""
    command = ("ffmpeg", "-v", "quiet", "-i", str(path), "-f", "null", "-progress", "-", "-")
    done = subprocess.run(command, capture_output=True, check=False, timeout=300)
    times = re.findall(rb"out_time_us=(\d+)", done.stdout)
    return int(times[-1]) / 1e6 if times else 0.0


def compare(sample: Sample, verdict: Verdict, answer: dict[str, Any]) -> Compared:
    """Compare one verdict with one answer of ffprobe."""
    found = Compared(sample.file, verdict.container or "?")
    own = float(answer.get("format", {}).get("duration", 0))
    ours = verdict.duration_seconds
    if own > 0:
        theirs = answer.get("decoded_seconds") or own
        found.note("duration", f"{ours} ({verdict.duration_is})", theirs, equal=_is_near(ours, theirs))
        found.facts["duration, estimates too"] = [_is_near(ours, own)]
    streams = [one for one in answer.get("streams", ()) if not one.get("disposition", {}).get("attached_pic")]
    for kind in ("audio", "video"):
        tracks = [track for track in verdict.tracks if track.kind == kind]
        listed = [one for one in streams if one.get("codec_type") == kind]
        for number, stream in enumerate(listed):
            _compare_track(found, tracks[number] if number < len(tracks) else None, stream)
    return found


def _is_near(ours: float | None, theirs: float) -> bool:
    return ours is not None and abs(ours - theirs) <= max(WITHIN_SECONDS, WITHIN_SHARE * theirs)


def _compare_track(found: Compared, track: Track | None, stream: dict[str, Any]) -> None:
    name = stream.get("codec_name")
    if name:
        found.note("codec", track and track.codec, name, equal=track is not None and same_codec(track.codec, name))
    if stream["codec_type"] == "audio":
        for fact, ours, theirs in (
            ("channels", track and track.channels, stream.get("channels") or None),
            ("rate", track and track.sample_rate_hz, int(stream.get("sample_rate", 0)) or None),
        ):
            if theirs is not None:
                found.note(fact, ours, theirs, equal=ours == theirs)
    elif stream.get("width"):
        size = (stream["width"], stream["height"])
        found.note("picture", track and (track.width, track.height), size,
                   equal=track is not None and (track.width, track.height) == size)  # fmt: skip


def same_codec(ours: str | None, theirs: str | None) -> bool:
    """Say whether two names mean one codec: `mp4a.40.5` and `aac` do, `mp4a.40.2` and `mp3` do not."""
    if ours is None or theirs is None:
        return False
    return _base(ours) == _base(_SAME.get(theirs, theirs))


def _base(name: str) -> str:
    name = one_name(name) or name
    if name.startswith("mp4a.40."):
        return name if name == _ALS else "mp4a.40"
    if name in _PRORES:
        return "prores"
    base = name.partition(".")[0].removesuffix("be").removesuffix("le")
    return one_name(base) or base


def compare_all(folders: Iterable[Path], cache_path: Path) -> Iterator[Compared]:
    """Compare the genuine, clean files of these folders."""
    samples = [
        sample for folder in folders for sample in read_corpus(folder) if sample.kind == "genuine" and sample.clean
    ]
    answers = probe([sample.path for sample in samples], cache_path)
    for sample in samples:
        verdict = inspect_file(sample.path)
        if verdict.accepted:
            yield compare(sample, verdict, answers[sample.path])


def print_tables(compared: list[Compared]) -> None:
    """Print the shares for each container and for all, then each difference."""
    print(f"| container | files | {' | '.join(FACTS)} |\n|{' --- |' * (2 + len(FACTS))}")
    for container in sorted({one.container for one in compared}):
        print(_row(container, [one for one in compared if one.container == container]))
    print(_row("**all**", compared))
    print()
    for one in compared:
        for difference in one.differences:
            print(f"{one.container} {one.file}: {difference}")


def _row(name: str, compared: list[Compared]) -> str:
    cells = [name, str(len(compared))]
    for fact in FACTS:
        values = [value for one in compared for value in one.facts.get(fact, ())]
        share = f" ({sum(values) / len(values):.1%})" if name.startswith("*") and values else ""
        cells.append(f"{sum(values)} of {len(values)}{share}" if values else "")
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Compare the files of one or more folders, or files made for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="folder with a manifest.jsonl")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "ffprobe-answers.json")
    parser.add_argument("--json", action="store_true", help="one object a line for each file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if not options.corpus:
            make_corpus(Path(made))
        compared = list(compare_all(options.corpus or [Path(made)], options.cache))
    if options.json:
        for one in compared:
            print(json.dumps(asdict(one)))
    else:
        print_tables(compared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
