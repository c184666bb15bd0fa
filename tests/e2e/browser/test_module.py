"""The browser module on a page of another origin, against a real gateway and store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.bootstrap import presigner_of, utc_now
from gateway.dev.processes import free_ports
from gateway.dev.store import StoreServer
from gateway.settings import Settings
from gateway.storage.clock import StoreClock
from gateway.storage.presign import PartToSign
from tests.conftest import store_settings
from tests.e2e.browser.conftest import BUCKET
from tests.e2e.browser.harness import Gateway, running_gateway, sha256_of, stored_sha256, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

MIB = 1024 * 1024

PAGE = """<!doctype html><meta charset="utf-8"><title>A page of somebody else's</title>{policy}
<input type="file" id="file">
<script type="module" src="{origin}/{script}"></script>"""

SCRIPT = """
import { Upload, unfinished } from "{gateway}/client.js";
const begin = (token, options) => {
  const upload = new Upload(document.getElementById("file").files[0], { token, partSize: 5 * 1024 * 1024, ...options });
  const log = [];
  for (const name of ["state", "progress", "part", "retry"]) {
    upload.addEventListener(name, ({ detail }) => {
      if (name === "state") log.push(detail.state);
      if (name === "retry") log.push(`retry ${detail.error.code} ${detail.error.status}`);
    });
  }
  window.current = { upload, log, outcome: null };
  const { current } = window;
  upload.start().then(
    (record) => (current.outcome = { record }),
    ({ code, message, upload }) => (current.outcome = { code, message, state: upload?.state }),
  );
};
Object.assign(window, { begin, unfinished, Upload, ready: true });
"""


@pytest.fixture
def visit(page: Page, page_folder: Path, page_origin: str, gateway: Gateway) -> Callable[..., Page]:
    """Give a function that opens the foreign page with the module loaded from the gateway."""
    (page_folder / "use.js").write_text(SCRIPT.replace("{gateway}", gateway.address))

    def open_page(policy: str = "") -> Page:
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
        name = f"{hashlib.sha256(policy.encode()).hexdigest()[:8]}.html"
        (page_folder / name).write_text(PAGE.format(policy=meta, origin=page_origin, script="use.js"))
        page.goto(f"{page_origin}/{name}")
        until(lambda: page.evaluate("window.ready === true"))
        return page

    return open_page


def begin(page: Page, file: Path, token: str, **options: Any) -> None:
    """Choose *file* and start the upload."""
    page.set_input_files("#file", file)
    page.evaluate("([token, options]) => begin(token, options)", [token, options])


def outcome(page: Page) -> dict[str, Any]:
    """Wait for the end of the upload and give it."""
    until(lambda: page.evaluate("current.outcome !== null"))
    found: dict[str, Any] = page.evaluate("current.outcome")
    return found


def log(page: Page) -> list[str]:
    """Give the states and retries so far."""
    found: list[str] = page.evaluate("current.log")
    return found


def stored_parts(page: Page) -> int:
    """Count the parts that the module knows to be stored."""
    found: int = page.evaluate("current.upload.parts.filter((part) => part.state === 'stored').length")
    return found


def watch_parts(page: Page) -> list[str]:
    """Note the part number of every PUT to the store."""
    sent: list[str] = []

    def note(request: Any) -> None:
        if request.method == "PUT":
            sent.append(request.url.partition("partNumber=")[2].partition("&")[0])

    page.on("request", note)
    return sent


@pytest.mark.parametrize("size_bytes", [1000, 12 * MIB], ids=["one small part", "three parts"])
def test_bytes_in_the_store_are_those_of_the_file(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any, size_bytes: int
) -> None:
    """A file arrives byte for byte, is checked and found ready."""
    page, file = visit(), media(size_bytes)
    sent = watch_parts(page)
    begin(page, file, gateway.token())
    record = outcome(page)["record"]
    assert record["state"] == "ready"
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)
    assert len(sent) == record["part_count"] == -(-file.stat().st_size // (5 * MIB))
    assert log(page) == ["preparing", "uploading", "checking", "ready"]
    assert page.evaluate("unfinished()") == []


@pytest.mark.any_store
def test_g6_an_upload_goes_on_when_its_token_asked_too_often(
    visit: Callable[..., Page], gateway_environment: dict[str, str], media: Callable[[int], Path], tmp_path: Path
) -> None:
    """The page reads the 429 of a gateway on another origin, waits as it says, and the file arrives."""
    limited = {"GATEWAY_PORT": str(free_ports(1)[0]), "GATEWAY_RATE_PER_TOKEN": "1"}
    with running_gateway({**gateway_environment, **limited}, tmp_path) as other:
        token = other.token()
        with other.api(token) as api:
            until(lambda: api.get("/v1/uploads").status_code == 429, every=0)
        page = visit()
        begin(page, media(12 * MIB), token, endpoint=other.address)
        assert outcome(page)["record"]["state"] == "ready"
        assert "retry too_many_requests 429" in log(page)


def test_etags_may_be_hidden(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any, store_server: StoreServer
) -> None:
    """An upload completes on a store whose CORS rules show a page no ETag."""
    if store_server.name != "seaweedfs":
        pytest.skip("MinIO has no CORS rules of a bucket, and always shows the ETag")
    rules = s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"]
    hiding = [{name: value for name, value in rule.items() if name != "ExposeHeaders"} for rule in rules]
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": hiding})
    try:
        page, file = visit(), media(6 * MIB)
        begin(page, file, gateway.token())
        assert outcome(page)["record"]["state"] == "ready"
    finally:
        s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})


@pytest.mark.any_store
def test_empty_file_is_refused(visit: Callable[..., Page], gateway: Gateway, tmp_path: Path) -> None:
    """A file of no bytes is refused before anything is stored, with a sentence."""
    empty = tmp_path / "empty.wav"
    empty.touch()
    page = visit()
    begin(page, empty, gateway.token())
    refused = outcome(page)
    assert refused["code"] == "invalid_request"
    assert "empty" in refused["message"]


def test_wrong_type_is_rejected_with_its_reason(visit: Callable[..., Page], gateway: Gateway, tmp_path: Path) -> None:
    """A web page called .mp4 is rejected once it was sent, and the promise carries the reason; a .html is not begun."""
    disguised, honest = tmp_path / "holiday.mp4", tmp_path / "holiday.html"
    for file in (disguised, honest):
        file.write_text("<!doctype html><script>alert(1)</script>")
    page = visit()
    begin(page, disguised, gateway.token(), inspect=False)
    rejected = outcome(page)
    assert (rejected["code"], rejected["state"]) == ("type_not_recognised", "rejected")
    assert "web page" in rejected["message"]
    assert log(page)[-1] == "rejected"
    begin(page, honest, gateway.token(), inspect=False)
    assert outcome(page)["code"] == "extension_not_allowed"


@pytest.mark.any_store
def test_wrong_file_is_refused_before_it_is_sent(visit: Callable[..., Page], gateway: Gateway, tmp_path: Path) -> None:
    """A text of 2 GiB called .mp4 is refused by its first and last bytes: no upload is created, and no part is sent."""
    file = tmp_path / "holiday.mp4"
    file.write_text("<!doctype html><script>alert(1)</script>")
    os.truncate(file, 2 * 1024 * MIB)
    page, asked, token = visit(), [], gateway.token()
    page.on("request", lambda request: asked.append((request.url, request.post_data_buffer or b"")))
    begin(page, file, token)
    refused = outcome(page)
    assert (refused["code"], refused["state"]) == ("type_not_recognised", None)
    assert "web page" in refused["message"]
    assert log(page) == ["preparing", "rejected"]
    questions = [body for url, body in asked if url.endswith("/v1/inspect")]
    assert 1 <= len(questions) <= 2
    assert sum(map(len, questions)) < 300_000
    assert not [url for url, _ in asked if "/v1/uploads" in url]
    with gateway.api(token) as api:
        assert api.get("/v1/uploads").json()["uploads"] == []


@pytest.mark.any_store
def test_upload_goes_on_without_an_answer(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """An older gateway, a broken line, a limit and nonsense end the question only; `inspect: false` asks none."""
    page, file, asked = visit(), media(1000), []
    answers: list[dict[str, Any] | None] = [
        {"status": 404, "json": {"code": "not_found"}},
        {"status": 429, "json": {"code": "too_many_requests"}, "headers": {"retry-after": "60"}},
        {"status": 200, "body": "<html>"},
        {"status": 200, "json": {"wanted": None}},
        None,
    ]

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        given = answers[len(asked) - 1]
        if given is None:
            route.abort()
        else:
            route.fulfill(**given | {"headers": {"access-control-allow-origin": "*", **given.get("headers", {})}})

    page.route("**/v1/inspect", answer)
    for count in range(1, len(answers) + 1):
        begin(page, file, gateway.token())
        assert outcome(page)["record"]["state"] == "ready"
        assert len(asked) == count
    begin(page, file, gateway.token(), inspect=False)
    assert outcome(page)["record"]["state"] == "ready"
    assert len(asked) == len(answers)


def test_cancel_leaves_nothing(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """An aborted upload rejects with `aborted`, and neither its parts nor a memory of it stay."""
    page, file = visit(), media(30 * MIB)
    begin(page, file, gateway.token(), parallel=1)
    until(lambda: stored_parts(page) >= 1)
    record = page.evaluate("current.upload.upload")
    page.evaluate("current.upload.abort()")
    assert outcome(page)["code"] == "aborted"
    with gateway.api() as api:
        assert api.get(f"/v1/uploads/{record['upload_id']}").json()["state"] == "aborted"
    assert s3.list_multipart_uploads(Bucket=BUCKET, Prefix=record["object_key"]).get("Uploads", []) == []
    assert page.evaluate("unfinished()") == []


@pytest.mark.any_store
def test_abort_signal_aborts(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]) -> None:
    """An AbortSignal does what abort() does, also one that was aborted before the start."""
    page = visit()
    page.set_input_files("#file", media(1 * MIB))
    page.evaluate("(token) => begin(token, { signal: AbortSignal.abort() })", gateway.token())
    assert outcome(page)["code"] == "aborted"
    assert page.evaluate("current.upload.state") == "aborted"


def test_lost_answer_to_complete_is_asked_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """When the answer to complete is lost, the next try finds the upload done."""
    page, file = visit(), media(6 * MIB)
    lost: list[int] = []

    def lose(route: Route) -> None:
        if lost or route.request.method != "POST":
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort("connectionreset")

    page.route("**/complete", lose)
    begin(page, file, gateway.token())
    assert outcome(page)["record"]["state"] == "ready"
    assert lost == [200]
    assert "retry network 0" in log(page)


def test_part_that_never_arrived_is_sent_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """When the store does not hold a part it confirmed, complete names it, and only that part is sent again."""
    page, file = visit(), media(12 * MIB)
    sent, dropped = watch_parts(page), []

    def drop(route: Route) -> None:
        if route.request.method != "PUT" or dropped:
            route.continue_()
            return
        dropped.append(route.request.url)
        route.fulfill(status=200, headers={"access-control-allow-origin": "*"})

    page.route("**/*partNumber=2&*", drop)
    begin(page, file, gateway.token())
    record = outcome(page)["record"]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)
    assert sorted(sent) == ["1", "2", "2", "3"]
    assert log(page) == ["preparing", "uploading", "checking", "uploading", "checking", "ready"]


def test_damaged_part_is_refused_and_sent_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """A part whose bytes change on the way does not match its signed checksum: the store refuses it."""
    page, file = visit(), media(6 * MIB)
    damaged: list[str] = []

    def damage(route: Route) -> None:
        if route.request.method != "PUT" or damaged:
            route.continue_()
            return
        damaged.append(route.request.url)
        route.continue_(post_data=b"\0" * (5 * MIB))

    page.route("**/*partNumber=1&*", damage)
    begin(page, file, gateway.token())
    record = outcome(page)["record"]
    assert len(damaged) == 1
    assert any(line.startswith("retry part_failed") for line in log(page))
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_reload_and_resume(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any) -> None:
    """After a reload the same file goes on: what the store holds is not sent again, and no secret was kept."""
    page, file, token = visit(), media(30 * MIB), gateway.token()
    sent = watch_parts(page)
    begin(page, file, token, parallel=1)
    until(lambda: stored_parts(page) >= 2)
    first = page.evaluate("current.upload.upload.upload_id")
    kept = json.dumps(page.evaluate("({ ...localStorage, ...sessionStorage })"))
    assert first in kept
    assert token not in kept
    assert "Signature" not in kept
    page.reload()
    until(lambda: page.evaluate("window.ready === true"))
    assert [entry["upload_id"] for entry in page.evaluate("unfinished()")] == [first]
    before = set(sent[:2])
    sent.clear()
    begin(page, file, token)
    record = outcome(page)["record"]
    assert record["upload_id"] == first
    assert before.isdisjoint(sent)
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_changed_file_does_not_resume(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], tmp_path: Path, s3: Any
) -> None:
    """A file of the same name and size with other bytes at its end is another upload."""
    page, token = visit(), gateway.token()
    file = tmp_path / "take.wav"
    file.write_bytes(media(16 * MIB).read_bytes())
    begin(page, file, token, parallel=1)
    until(lambda: stored_parts(page) >= 1)
    first = page.evaluate("current.upload.upload.upload_id")
    page.reload()
    until(lambda: page.evaluate("window.ready === true"))
    body = file.read_bytes()
    file.write_bytes(body[:-100] + bytes(100))
    begin(page, file, token)
    record = outcome(page)["record"]
    assert record["upload_id"] != first
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_expired_url_is_replaced(
    visit: Callable[..., Page],
    gateway: Gateway,
    media: Callable[[int], Path],
    s3: Any,
    store_server: StoreServer,
) -> None:
    """A part whose URL has expired gets a new one and arrives."""
    page, file = visit(), media(6 * MIB)
    settings = Settings(_env_file=None, **{**store_settings(store_server), "s3_bucket": BUCKET})
    presigner = presigner_of(settings, StoreClock(utc_now))
    answers: list[int] = []

    def expire(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        if not answers:
            asked = json.loads(route.request.post_data or "{}")["parts"][0]
            record = page.evaluate("current.upload.upload")
            [upload] = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=record["object_key"])["Uploads"]
            part = body["parts"][0]
            old = presigner.part_urls(
                record["object_key"],
                upload["UploadId"],
                [PartToSign(part["part_number"], part["size_bytes"], asked["checksum_sha256"])],
                60,
                signed_at=utc_now() - timedelta(hours=1),
            )[0]
            body["parts"][0] |= {"url": old.url, "headers": old.headers}
        answers.append(answer.status)
        route.fulfill(response=answer, json=body)

    page.route("**/parts/sign", expire)
    begin(page, file, gateway.token(), parallel=1)
    record = outcome(page)["record"]
    assert len(answers) == 3
    # Some stores refuse without CORS headers, which a page sees as a broken connection.
    assert {"retry part_failed 403", "retry part_failed 0"} & set(log(page))
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_token_of_another_user_is_refused(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """Another user on the same machine cannot go on with, see or abort an upload, and begins one of their own."""
    page, file = visit(), media(16 * MIB)
    begin(page, file, gateway.token(), parallel=1)
    until(lambda: stored_parts(page) >= 1)
    first = page.evaluate("current.upload.upload.upload_id")
    page.reload()
    until(lambda: page.evaluate("window.ready === true"))
    stranger = gateway.token()
    with gateway.api(stranger) as api:
        assert api.get(f"/v1/uploads/{first}").status_code == 404
        assert api.delete(f"/v1/uploads/{first}").status_code == 404
    begin(page, file, stranger)
    assert outcome(page)["record"]["upload_id"] != first
    begin(page, media(1000), "not-a-token-at-all")
    assert outcome(page)["code"] == "unauthenticated"


@pytest.mark.any_store
def test_token_function_is_asked_again_when_a_token_ends(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """A token function that gives a dead token first is called once more, and the upload goes on."""
    page = visit()
    page.set_input_files("#file", media(1000))
    page.evaluate(
        "(tokens) => { window.asked = 0; begin(async () => tokens[asked++], {}); }", ["dead-and-gone", gateway.token()]
    )
    assert outcome(page)["record"]["state"] == "ready"
    assert page.evaluate("asked") == 2


def test_pause_and_resume(visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any) -> None:
    """While paused nothing is sent; resumed, the upload ends as if nothing had been."""
    page, file = visit(), media(30 * MIB)
    begin(page, file, gateway.token(), parallel=2)
    until(lambda: stored_parts(page) >= 1)
    assert page.evaluate("current.upload.pause()") is True
    sent = watch_parts(page)
    page.wait_for_timeout(1500)
    assert sent == []
    assert page.evaluate("current.outcome") is None
    assert page.evaluate("current.upload.resume()") is True
    record = outcome(page)["record"]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)
    assert "paused" in log(page)


def test_offline_is_waited_out(
    visit: Callable[..., Page], context: BrowserContext, gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """An upload that loses the network goes on by itself when it is back, however few attempts it has."""
    page, file = visit(), media(30 * MIB)
    begin(page, file, gateway.token(), parallel=2, attempts=2)
    until(lambda: stored_parts(page) >= 1)
    context.set_offline(True)
    page.wait_for_timeout(3000)
    assert page.evaluate("current.outcome") is None
    context.set_offline(False)
    record = outcome(page)["record"]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_policy_without_workers_is_no_obstacle(
    visit: Callable[..., Page], gateway: Gateway, store_server: StoreServer, media: Callable[[int], Path], s3: Any
) -> None:
    """Under a content security policy that forbids the worker the page's own thread hashes."""
    policy = (
        f"script-src 'self' {gateway.address}; connect-src {gateway.address} {store_server.endpoint}; worker-src 'none'"
    )
    page, file = visit(policy), media(6 * MIB)
    begin(page, file, gateway.token())
    record = outcome(page)["record"]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


def test_checksums_may_be_left_out(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """Without checksums, as on a page that has no Web Crypto, the parts go with the URLs of the first answer."""
    page, file = visit(), media(12 * MIB)
    signed: list[str] = []
    page.on("request", lambda request: signed.append(request.url) if request.url.endswith("/parts/sign") else None)
    begin(page, file, gateway.token(), checksums=False)
    record = outcome(page)["record"]
    assert signed == []
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)


@pytest.mark.any_store
def test_removed_file_is_named_as_the_reason(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], tmp_path: Path
) -> None:
    """A file that goes away in the middle ends the upload with a sentence that says so."""
    page, file = visit(), tmp_path / "gone.wav"
    file.write_bytes(media(30 * MIB).read_bytes())
    begin(page, file, gateway.token(), parallel=1)
    until(lambda: stored_parts(page) >= 1)
    file.unlink()
    assert outcome(page)["code"] == "file_unreadable"


@pytest.mark.any_store
def test_token_function_that_fails_is_tried_again(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path]
) -> None:
    """A backend that gives no token for a moment costs a retry; one that never does ends with a reason."""
    page = visit()
    page.set_input_files("#file", media(1000))
    page.evaluate(
        "(token) => { let asked = 0; begin(async () => { if (!asked++) throw Error('down'); return token; }, {}); }",
        gateway.token(),
    )
    assert outcome(page)["record"]["state"] == "ready"
    assert "retry token 0" in log(page)
    page.evaluate("begin(() => { throw 'no session'; }, { attempts: 2, remember: false })")
    found = outcome(page)
    assert (found["code"], found["message"]) == ("token", "No upload token: no session")
    assert page.evaluate("current.upload.state") == "failed"


@pytest.mark.any_store
@pytest.mark.parametrize("wait", ["0", "new Promise((done) => setTimeout(done, 150))"], ids=["at once", "in flight"])
def test_pause_while_preparing_creates_one_upload(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], wait: str
) -> None:
    """Paused and resumed before the gateway has answered, an upload is created once: the token allows one."""
    page = visit()
    page.route("**/v1/uploads", lambda route: (page.wait_for_timeout(300), route.continue_()))
    begin(page, media(1000), gateway.token(max_files=1))
    page.evaluate(f"(async () => {{ current.upload.pause(); await {wait}; current.upload.resume(); }})()")
    assert outcome(page)["record"]["state"] == "ready"


def test_same_file_twice_at_once_is_one_upload(
    visit: Callable[..., Page], gateway: Gateway, media: Callable[[int], Path], s3: Any
) -> None:
    """Two tabs that send the same file share its upload, and both are told when it is ready."""
    page, file = visit(), media(18 * MIB)
    token = gateway.token(max_files=1)
    begin(page, file, token)
    until(lambda: page.evaluate("current.upload.state") == "uploading")
    page.evaluate("window.first = current")
    begin(page, file, token)
    record = outcome(page)["record"]
    until(lambda: page.evaluate("first.outcome !== null"))
    assert page.evaluate("first.outcome.record.upload_id") == record["upload_id"]
    assert stored_sha256(s3, BUCKET, record["object_key"]) == sha256_of(file)
