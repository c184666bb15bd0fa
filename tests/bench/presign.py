"""Print what one presigned URL costs, beside boto3 and aioboto3, in one run of one process.

    python -m tests.bench.presign [--parts 10000] [--oracle-parts 1000] [--rounds 5]

CPU time, best of the rounds. boto3 and aioboto3 sign with SigV4 asked for (their default for S3 URLs is older and
cheaper); every URL of theirs that is timed is compared with ours, so that nobody is timed doing something else.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time
from typing import Any
from unittest.mock import patch

import aioboto3
import boto3
from botocore import auth
from botocore.config import Config

from gateway.storage.presign import PartToSign, Presigner
from gateway.storage.sigv4 import Credentials

ENDPOINT, BUCKET, REGION = "https://s3.example.com", "uploads", "us-east-1"
KEY, UPLOAD_ID, LIFE = "uploads/0198c0de-7a1b-7000-8000-5eed5eed5eed.mp4", "2~" + "x" * 62, 3600
PART_SIZE = 16 << 20
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BOTO: dict[str, Any] = {
    "endpoint_url": ENDPOINT,
    "region_name": REGION,
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "config": Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
    ),
}


def presigner() -> Presigner:
    """Give our presigner with the clock that boto is given too."""
    mine = Credentials(BOTO["aws_access_key_id"], BOTO["aws_secret_access_key"])
    return Presigner(ENDPOINT, BUCKET, REGION, mine, "path", now=lambda: NOW)


def params(number: int) -> dict[str, Any]:
    """Name one part as boto wants it."""
    return {"Bucket": BUCKET, "Key": KEY, "UploadId": UPLOAD_ID, "PartNumber": number, "ContentLength": PART_SIZE}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU seconds of *work* and its result."""
    start = process_time()
    result = work()
    return process_time() - start, result


def ours_in_a_batch(parts: list[PartToSign]) -> tuple[float, list[str]]:
    """Sign all parts in one call."""
    mine = presigner()
    seconds, signed = timed(lambda: mine.part_urls(KEY, UPLOAD_ID, parts, LIFE))
    return seconds, [one.url for one in signed]


def ours_one_by_one(parts: list[PartToSign]) -> tuple[float, list[str]]:
    """Sign each part in a call of its own."""
    mine = presigner()
    return timed(lambda: [mine.part_urls(KEY, UPLOAD_ID, [part], LIFE)[0].url for part in parts])


def boto3_urls(count: int) -> tuple[float, list[str]]:
    """Sign with boto3."""
    sign = boto3.Session().client("s3", **BOTO).generate_presigned_url
    return timed(lambda: [sign("upload_part", params(n + 1), ExpiresIn=LIFE) for n in range(count)])


async def aioboto3_urls(count: int) -> tuple[float, list[str]]:
    """Sign with aioboto3."""
    async with aioboto3.Session().client("s3", **BOTO) as client:
        start = process_time()
        urls = [await client.generate_presigned_url("upload_part", params(n + 1), LIFE) for n in range(count)]
        return process_time() - start, urls


def main() -> None:
    """Time each way and print microseconds a URL."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--parts", type=int, default=10_000, help="parts of our batch, 1 to 10,000")
    options.add_argument("--oracle-parts", type=int, default=1_000, help="URLs of boto3 and aioboto3")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    parts = [PartToSign(number + 1, PART_SIZE) for number in range(given.parts)]
    checksummed = [PartToSign(part.part_number, PART_SIZE, "A" * 43 + "=") for part in parts]
    few = given.oracle_parts
    ways: dict[str, Callable[[], tuple[float, list[str]]]] = {
        f"gateway, batch of {given.parts:,}": lambda: ours_in_a_batch(parts),
        f"gateway, batch of {given.parts:,} with checksums": lambda: ours_in_a_batch(checksummed),
        "gateway, one by one": lambda: ours_one_by_one(parts[:few]),
        "boto3": lambda: boto3_urls(few),
        "aioboto3": lambda: asyncio.run(aioboto3_urls(few)),
    }
    best = dict.fromkeys(ways, float("inf"))
    urls: dict[str, list[str]] = {}
    with patch.object(auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        for _ in range(given.rounds):  # in turns, so that a busy moment of the machine hits all alike
            for name, way in ways.items():
                seconds, urls[name] = way()
                best[name] = min(best[name], seconds / len(urls[name]))
    plain = [found[:few] for name, found in urls.items() if "checksums" not in name]
    if any(found != plain[0] for found in plain):
        raise SystemExit("the URLs are not the same: nothing was compared")
    print(f"CPU microseconds a part URL, best of {given.rounds}, Python {platform.python_version()}")
    for name, seconds in best.items():
        print(f"{name:<44}{seconds * 1e6:9.2f}   {best['boto3'] / seconds:6.1f} times boto3's speed")


if __name__ == "__main__":
    main()
