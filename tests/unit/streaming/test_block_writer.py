"""Files written in blocks, on a disk and in memory, with and without direct writes."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.domain.errors import DiskFull, Unavailable
from gateway.streaming import block_writer
from gateway.streaming.block_writer import CACHED_BYTES, BlockWriter

BLOCK = 64 * 1024
SEED = os.urandom(1_000_003)
SIZES = [
    0,
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    CACHED_BYTES - 1,
    CACHED_BYTES,
    CACHED_BYTES + 1,
    CACHED_BYTES + BLOCK,
    CACHED_BYTES + 3 * BLOCK + 4097,
]


def content(size: int) -> bytes:
    """Give bytes that differ from block to block."""
    return (SEED * (size // len(SEED) + 1))[:size]


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Give a folder where direct writes exist, and one where they do not."""
    if request.param == "disk":
        yield tmp_path
        return
    if not os.path.ismount("/dev/shm"):
        pytest.skip("this system has no file system in memory at /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_is_written_in_its_place(folder: Path, size: int) -> None:
    """Whatever the size, the file holds these bytes and no others."""
    expected = content(size)
    writer = BlockWriter(folder / "new" / "id.tmp", BLOCK)
    for start in range(0, size, 40_001):
        writer.write([expected[start : start + 40_001]])
    writer.finish()
    assert (folder / "new" / "id.tmp").read_bytes() == expected


def test_pieces_larger_than_a_block_and_empty_ones(tmp_path: Path) -> None:
    """Pieces of every size may be mixed."""
    expected = content(CACHED_BYTES + 7 * BLOCK + 11)
    cuts = [0, 0, 1, 3 * BLOCK + 1, CACHED_BYTES - 5, CACHED_BYTES - 5, CACHED_BYTES + BLOCK + 2, len(expected)]
    writer = BlockWriter(tmp_path / "id.tmp", BLOCK)
    writer.write([expected[start:end] for start, end in itertools.pairwise(cuts)])
    writer.finish()
    assert (tmp_path / "id.tmp").read_bytes() == expected


@pytest.mark.parametrize("block_size", [1, 4095, 4097, 100_000])
def test_any_block_size_is_rounded_up_to_pages(tmp_path: Path, block_size: int) -> None:
    """A CHUNK_SIZE that no disk could write directly works too."""
    expected = content(CACHED_BYTES + 250_001)
    writer = BlockWriter(tmp_path / "id.tmp", block_size)
    writer.write([expected])
    writer.finish()
    assert (tmp_path / "id.tmp").read_bytes() == expected


def test_a_long_file_leaves_the_page_cache_alone(tmp_path: Path) -> None:
    """What follows the first 16 MiB is written directly where the file system can; this asks the descriptor itself."""
    if not _has_direct_writes(tmp_path):
        pytest.skip("the file system of the temporary folder has no direct writes")
    writer = BlockWriter(tmp_path / "id.tmp", BLOCK)
    direct: list[bool] = []
    for _ in range(CACHED_BYTES // BLOCK + 4):
        writer.write([content(BLOCK)])
        direct.append(bool(fcntl.fcntl(writer._descriptor, fcntl.F_GETFL) & os.O_DIRECT))
    writer.finish()
    assert direct == [False] * (CACHED_BYTES // BLOCK) + [True] * 4


def test_a_disk_with_larger_blocks_is_written_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL for a direct write costs the directness and no byte."""
    real = os.write
    refused = 0

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal refused
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused += 1
            raise OSError(errno.EINVAL, "no such alignment")
        return real(descriptor, data)

    if not _has_direct_writes(tmp_path):
        pytest.skip("the file system of the temporary folder has no direct writes")
    monkeypatch.setattr(block_writer.os, "write", write)
    expected = content(CACHED_BYTES + 5 * BLOCK + 1)
    writer = BlockWriter(tmp_path / "id.tmp", BLOCK)
    writer.write([expected])
    writer.finish()
    assert refused == 1
    assert (tmp_path / "id.tmp").read_bytes() == expected


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes half of a block is given the other half."""
    real = os.write
    monkeypatch.setattr(block_writer.os, "write", lambda fd, data: real(fd, data[: max(1, len(data) // 2)]))
    expected = content(CACHED_BYTES + 2 * BLOCK + 1)
    writer = BlockWriter(tmp_path / "id.tmp", BLOCK)
    writer.write([expected])
    writer.finish()
    assert (tmp_path / "id.tmp").read_bytes() == expected


@pytest.mark.parametrize("room", [3 * BLOCK, CACHED_BYTES + 2 * BLOCK + 4096])
def test_a_file_that_may_grow_no_further_is_a_full_disk(folder: Path, room: int) -> None:
    """A limit reached through the cache, or in direct writes, is DiskFull; the descriptor is let go of."""
    writer = BlockWriter(folder / "id.tmp", BLOCK)
    with _largest_file(room), pytest.raises(DiskFull):
        writer.write([content(CACHED_BYTES + 10 * BLOCK)])
    writer.close()
    writer.close()
    assert (folder / "id.tmp").stat().st_size <= room


def test_another_failure_is_unavailable(tmp_path: Path) -> None:
    """A folder that is a file is no full disk."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        BlockWriter(tmp_path / "file" / "id.tmp", BLOCK)


def _has_direct_writes(folder: Path) -> bool:
    try:
        os.close(os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | getattr(os, "O_DIRECT", 0)))
    except OSError:
        return False
    return hasattr(os, "O_DIRECT")


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores SIGXFSZ: the write fails with EFBIG.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
