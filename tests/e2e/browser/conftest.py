"""Fixtures for tests in a real Chromium."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg
import pytest

from gateway.dev import minio, seaweedfs
from gateway.dev.processes import StackError, free_ports
from gateway.dev.store import StoreServer
from tests.conftest import boto3_client, missing
from tests.e2e.browser.harness import Gateway, find_chromium, page_server, running_gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BUCKET = "browser"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark everything here, so that `make test` leaves it to `make test-browser`; run once what no store changes."""
    repeated = []
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if item.get_closest_marker("any_store") and os.environ.get("TEST_STORE", "seaweedfs") != "seaweedfs":
                repeated.append(item)
    if repeated:
        config.hook.pytest_deselected(items=repeated)
        items[:] = [item for item in items if item not in repeated]


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that the page's own origin serves."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def page_origin(page_folder: Path) -> Iterator[str]:
    """Serve the page folder on an origin that is neither the gateway's nor the store's."""
    with page_server(page_folder) as origin:
        yield origin


@pytest.fixture(scope="session")
def gateway_port() -> int:
    """Pick the gateway's port first: its own page is an allowed origin, and MinIO takes origins at the start only."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
def allowed_origins(page_origin: str, gateway_port: int) -> list[str]:
    """Give the origins that may upload: the foreign page and the gateway's own."""
    return [page_origin, f"http://127.0.0.1:{gateway_port}"]


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory, allowed_origins: list[str]) -> Iterator[StoreServer]:
    """Run the store that TEST_STORE names for pages of these origins; its bucket is made by the gateway."""
    name = os.environ.get("TEST_STORE", "seaweedfs")
    folder = tmp_path_factory.mktemp(name)
    try:
        server = minio.start(folder, allowed_origins=allowed_origins) if name == "minio" else seaweedfs.start(folder)
    except StackError as error:
        missing(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gateway_environment(
    make_database: Callable[[], str], store_server: StoreServer, allowed_origins: list[str], gateway_port: int
) -> dict[str, str]:
    """Give the environment of the gateway under test."""
    return {
        "GATEWAY_PORT": str(gateway_port),
        "GATEWAY_DATABASE_URL": make_database(),
        "GATEWAY_S3_ENDPOINT": store_server.endpoint,
        "GATEWAY_S3_BUCKET": BUCKET,
        "GATEWAY_S3_ACCESS_KEY_ID": store_server.access_key_id,
        "GATEWAY_S3_SECRET_ACCESS_KEY": store_server.secret_access_key,
        "GATEWAY_UNSAFE_STORE": "warn",
        "GATEWAY_ALLOWED_ORIGINS": ",".join(allowed_origins),
        "GATEWAY_TOKEN_SECRET": secrets.token_urlsafe(32),
        "GATEWAY_UPLOAD_PAGE": "token",
        "GATEWAY_WEBHOOK_SECRET": secrets.token_urlsafe(32),
        "GATEWAY_WEBHOOK_PRIVATE_HOSTS": "true",
        # Part sizes that make a file of a few MiB an upload of several parts.
        "GATEWAY_MIN_PART_SIZE": str(5 * 1024 * 1024),
    }


@pytest.fixture(scope="session")
def gateway(gateway_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Run API and worker as real processes."""
    with running_gateway(gateway_environment, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
def s3(store_server: StoreServer) -> Iterator[Any]:
    """Give a boto3 client of the store: it reads what the browser wrote."""
    client = boto3_client(store_server)
    yield client
    client.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    program = find_chromium()
    if program is None:
        missing("No Chromium here: apt-get install chromium, npm ci in tests/e2e/browser, or set CHROMIUM.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's sandbox does not start for root, as which containers run.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Open a fresh profile: no storage, no cache."""
    context = browser.new_context()
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Open a tab."""
    return context.new_page()


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Give a function that makes a real WAV file of at least so many bytes, each with other bytes."""
    folder = tmp_path_factory.mktemp("media")
    made: list[Path] = []

    def make(size_bytes: int) -> Path:
        import subprocess

        path = folder / f"recording-{len(made)}.wav"
        # Noise of 48 kHz, 16 bit, two channels: nothing in it repeats, so a part in the wrong place shows.
        seconds = size_bytes / (48_000 * 4)
        noise = f"anoisesrc=r=48000:d={seconds:.3f}:seed={len(made) + 1}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-f", "lavfi", "-i", noise, "-ac", "2"]
        subprocess.run([*command, "-c:a", "pcm_s16le", str(path)], check=True, stdin=subprocess.DEVNULL)
        made.append(path)
        return path

    return make
