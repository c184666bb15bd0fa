"""Compare detection with puremagic alone, libmagic and filetype on one corpus: `python -m tests.bench.detection`.

`--corpus DIR` reads a folder with a manifest.jsonl whose lines have `file` (path in the folder), `kind` (genuine,
nonmedia, truncated, hostile, unlisted), `container` (an extension, for genuine files) and `decodes_cleanly`; also
`want` (refuse or either, for hostile files), `ffmpeg_plays` (truncated ones) and `group`. Without it, genuine
files are made with ffmpeg and broken ones from them. `--json` prints one line a file instead of the tables.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Run as a file, not as a module, this folder is all that Python knows.
sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.detection import Verdict, inspect_file, magic
from gateway.domain.media_types import FAMILIES, family_of
from tests.unit.detection import media

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the manifest."""

    path: Path
    file: str
    kind: str
    container: str
    clean: bool
    want: str | None = None
    plays: bool = False
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What detection said of one sample, and its CPU time."""

    sample: Sample
    verdict: Verdict
    ms: float

    @property
    def right(self) -> bool:
        return self.verdict.accepted and self.verdict.family == family_of(self.sample.container)


def read_corpus(folder: Path) -> list[Sample]:
    """Return the samples of a folder with a manifest.jsonl."""
    rows = (json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines() if line.strip())
    return [
        Sample(
            folder / row["file"],
            row["file"],
            row["kind"],
            row["container"],
            bool(row.get("decodes_cleanly")),
            row.get("want"),
            bool(row.get("ffmpeg_plays")),
            row.get("group"),
        )
        for row in rows
    ]


def make_corpus(folder: Path) -> None:
    """Write genuine media, and what only looks like it, with a manifest."""
    rows: list[dict[str, Any]] = []

    def add(name: str, data: bytes, kind: str, container: str = "") -> None:
        (folder / name).write_bytes(data)
        rows.append({"file": name, "kind": kind, "container": container, "decodes_cleanly": kind == "genuine"})

    for name, data in media.all_genuine().items():
        add(name, data, "genuine", name.rpartition(".")[2])
        for length in (4, 8, 12, 32, 100):
            add(f"cut{length}-{name}", data[:length], "truncated")
        for kind, payload in media.PAYLOADS.items():
            add(f"{kind}-behind-{name}", data + payload, "hostile")
            add(f"{kind}-for-{name}", data[:12] + payload, "hostile")
    for recipe in (*media.UNKNOWN, *media.IMAGES.values()):
        add(recipe.name, media.made(recipe), "nonmedia")
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def look(samples: Iterable[Sample]) -> Iterator[Seen]:
    """Inspect every sample; CPU time, because a machine that is busy elsewhere is no slower detection."""
    for sample in samples:
        began = time.process_time()
        verdict = inspect_file(sample.path)
        yield Seen(sample, verdict, (time.process_time() - began) * 1000)


def named_family(name: str | None) -> str | None:
    """Return the family of audio or video that a media type belongs to."""
    if not name or name in ("audio/x-sndr", "video/dvd"):
        return "mpeg-ps" if name == "video/dvd" else None
    for family in FAMILIES:
        types = {listed.lower() for names in family.types.values() for listed in names} | family.also
        if name.lower() in types or name in magic.NAMES.get(family.name, ()):
            return family.name
    return "other media" if name.startswith(("audio/", "video/")) else None


def _puremagic() -> Callable[[bytes], str | None]:
    import puremagic

    def ask(head: bytes) -> str | None:
        try:
            return str(puremagic.from_string(head, mime=True))
        except (puremagic.PureError, ValueError):
            return None

    return ask


def _libmagic() -> Callable[[bytes], str | None]:
    import magic as libmagic

    reader = libmagic.Magic(mime=True)
    return lambda head: str(reader.from_buffer(head))


def _filetype() -> Callable[[bytes], str | None]:
    import filetype

    return lambda head: filetype.guess_mime(head) if head else None


def others(samples: list[Sample]) -> Iterator[tuple[str, dict[str, tuple[int, int]], float]]:
    """Ask the other libraries about the first 4 KiB: name, (media, right family) of each kind, median ms."""
    for name, make in (("puremagic", _puremagic), ("python-magic", _libmagic), ("filetype", _filetype)):
        try:
            ask, label = make(), f"{name} {version(name)}"
        except (ImportError, PackageNotFoundError) as exc:
            print(f"{name} is not here: {exc}")
            continue
        counts: dict[str, tuple[int, int]] = {}
        times = []
        for sample in samples:
            head = sample.path.read_bytes()[:HEAD_BYTES]
            began = time.process_time()
            family = named_family(ask(head))
            times.append((time.process_time() - began) * 1000)
            kind = _kind(sample)
            said, right = counts.get(kind, (0, 0))
            counts[kind] = (said + bool(family), right + (family == family_of(sample.container)))
        yield label, counts, statistics.median(times)


def _kind(sample: Sample) -> str:
    if sample.kind == "genuine":
        return sample.group or ("genuine, clean" if sample.clean else "genuine, not clean")
    if sample.kind == "hostile":
        return "hostile, either" if sample.want == "either" else "hostile"
    if sample.kind == "truncated":
        return "truncated, plays" if sample.plays else "truncated"
    return sample.kind


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def print_tables(samples: list[Sample], seen: list[Seen]) -> None:
    """Print per container, per kind against the other libraries, and what was accepted that is not genuine."""
    print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {len(samples)} files\n")
    header = ("container", "files", "accepted", "refused", "wrong", "reads", "KiB", "median ms", "p95 ms")
    print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    genuine = [one for one in seen if one.sample.kind == "genuine"]
    for container in sorted({one.sample.container for one in genuine}):
        print(_row(container, [one for one in genuine if one.sample.container == container]))
    print(_row("all genuine", genuine))
    _print_kinds(samples, seen)
    for one in seen:
        if one.sample.kind != "genuine" and one.verdict.accepted:
            print(f"accepted {one.sample.kind}: {one.sample.file} as {one.verdict.media_type}")
        elif one.sample.kind == "genuine" and not one.right:
            print(
                f"refused genuine ({_kind(one.sample)}): {one.sample.file}: {one.verdict.check}: {one.verdict.reason}"
            )


def _row(name: str, seen: list[Seen]) -> str:
    times = [one.ms for one in seen]
    accepted = sum(one.verdict.accepted for one in seen)
    cells = (
        name,
        len(seen),
        accepted,
        len(seen) - accepted,
        sum(one.verdict.accepted and not one.right for one in seen),
        f"{statistics.mean(one.verdict.reads for one in seen):.1f}",
        f"{statistics.mean(one.verdict.bytes_read for one in seen) / 1024:.0f}",
        f"{statistics.median(times):.2f}",
        f"{_percentile(times, 0.95):.2f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _print_kinds(samples: list[Sample], seen: list[Seen]) -> None:
    kinds = [kind for kind in ("genuine, clean", "tag-text", "genuine, not clean", "nonmedia", "truncated",
                               "truncated, plays", "hostile", "hostile, either", "unlisted")
             if any(_kind(sample) == kind for sample in samples)]  # fmt: skip
    totals = {kind: sum(_kind(sample) == kind for sample in samples) for kind in kinds}
    print("\n| called audio or video (right family) | " + " | ".join(f"{kind}: {totals[kind]}" for kind in kinds)
          + " | median ms |\n|" + " --- |" * (len(kinds) + 2))  # fmt: skip
    ours = {
        kind: (
            sum(one.verdict.accepted for one in seen if _kind(one.sample) == kind),
            sum(one.right for one in seen if _kind(one.sample) == kind),
        )
        for kind in kinds
    }
    rows = [("this gateway", ours, statistics.median(one.ms for one in seen)), *others(samples)]
    for name, counts, median in rows:
        cells = [_share(*counts.get(kind, (0, 0)), totals[kind], kind) for kind in kinds]
        print(f"| {name} | " + " | ".join(cells) + f" | {median:.2f} |")
    print()


def _share(said: int, right: int, total: int, kind: str) -> str:
    shown = f"{said} ({said / total:.1%})"
    return f"{shown}, right {right} ({right / total:.1%})" if kind.startswith("genuine") else shown


def print_lines(seen: Iterable[Seen]) -> None:
    """Print one JSON object for each file."""
    for one in seen:
        verdict = one.verdict
        line = {
            "file": one.sample.file,
            "sample_kind": _kind(one.sample),
            "accepted": verdict.accepted,
            "container": verdict.container,
            "media_type": verdict.media_type,
            "kind": verdict.kind,
            "check": verdict.check,
            "reason": verdict.reason,
            "complete": verdict.complete,
            "duration_seconds": verdict.duration_seconds,
            "duration_is": verdict.duration_is,
            "tracks": [asdict(track) for track in verdict.tracks],
            "reads": verdict.reads,
            "bytes_read": verdict.bytes_read,
            "ms": round(one.ms, 3),
        }
        print(json.dumps(line))


def main() -> int:
    """Run on a corpus, given or made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder with a manifest.jsonl")
    parser.add_argument("--json", action="store_true", help="one object a line for each file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.corpus or Path(made)
        if not options.corpus:
            make_corpus(folder)
        samples = read_corpus(folder)
        list(look(samples[:1]))  # the first look imports puremagic
        seen = list(look(samples))
        if options.json:
            print_lines(seen)
        else:
            print_tables(samples, seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
