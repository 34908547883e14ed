"""The offline verifier: in an environment of its own, on a whole bundle and on every way to change one."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import LedgerKey
from audit.reports import verify_bundle
from audit.reports.bundle import write
from audit.reports.signing import DocumentSigner
from tests.audit.conftest import ORIGIN
from tests.audit.reports.made import Made
from tests.timestamp_authority import TimestampAuthority

Files = dict[str, bytes]
ALLOWED_PACKAGES = ("cryptography", "cffi", "pycparser", "_cffi_backend", "typing_extensions")


@pytest.fixture(scope="module")
def bundle(made: Made, signer: DocumentSigner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    return write(made.report, made.proved, made.staging, folder, edition="full", signer=signer).bundle


@pytest.fixture(scope="module")
def bare_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cryptography` and what it needs, and nothing else that is installed here."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ALLOWED_PACKAGES:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            origin = Path(found.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture(scope="module")
def check(made: Made, bare_packages: Path, timestamp_authority: TimestampAuthority) -> Callable[..., Any]:
    """Runs the bundle's own verifier as a stranger would: no site packages but `cryptography`."""

    def run(bundle: Path, *arguments: str, key: str = made.report.log.key) -> subprocess.CompletedProcess[str]:
        with zipfile.ZipFile(bundle) as archive:
            program = bundle.parent / "verify_bundle.py"
            program.write_bytes(archive.read("verify_bundle.py"))
        start = (
            f"import sys; sys.path[:0] = [{str(bare_packages)!r}]; import runpy; sys.argv[:] = sys.argv[1:];"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        command = [sys.executable, "-I", "-S", "-c", start, str(program), str(bundle), "--log-key", key, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


def contents(bundle: Path) -> Files:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(files: Files, folder: Path, *, repair: bool) -> Path:
    """The files as a bundle; `repair` lists them in `report.json` with the digests that they now have."""
    if repair:
        report = json.loads(files["report.json"])
        listed = sorted(set(files) - {"report.json", "report.pdf"})
        report["files"] = [
            {"path": path, "sha256": verify_bundle.sha256(files[path]).hex(), "size": len(files[path])}
            for path in listed
        ]
        files = {**files, "report.json": json.dumps(report).encode()}
    target = folder / "changed.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def test_a_whole_bundle_holds_in_a_clean_environment(
    bundle: Path, check: Callable[..., Any], timestamp_authority: TimestampAuthority
) -> None:
    done = check(bundle, "--tsa-ca", str(timestamp_authority.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert " 0 failed" in done.stdout
    for what in ("digests", "checkpoint", "time stamp", "consistency", "event", "item", "policy", "administration"):
        assert f"ok    {what}" in done.stdout


def test_our_packages_are_not_there_for_it(bare_packages: Path) -> None:
    start = f"import sys; sys.path[:0] = [{str(bare_packages)!r}]; import audit"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start], capture_output=True, text=True, check=False)
    assert "No module named 'audit'" in done.stderr


def test_it_says_what_it_did_not_check_and_with_what_to_do_so(bundle: Path, check: Callable[..., Any]) -> None:
    said = check(bundle).stdout
    assert "Not re-checked here:" in said
    assert "time stamp, digest only" in said
    for tool in ("c2patool", "PAdES", "--tsa-ca"):
        assert tool in said.partition("Not re-checked here:")[2]


def test_it_is_one_short_file() -> None:
    lines = Path(verify_bundle.__file__).read_text("utf-8").splitlines()
    assert len(lines) < 300


def test_another_log_s_key_is_not_believed(bundle: Path, check: Callable[..., Any]) -> None:
    done = check(bundle, key=str(LedgerKey.generate(ORIGIN).public))
    assert done.returncode == 1
    assert "it is not signed by the key that was given" in done.stdout


def test_the_digest_on_the_signed_page_binds_report_json(
    bundle: Path, check: Callable[..., Any], tmp_path: Path
) -> None:
    digest = verify_bundle.sha256(contents(bundle)["report.json"]).hex()
    assert check(bundle, "--report-sha256", digest).returncode == 0
    changed = contents(bundle)
    changed["report.json"] = changed["report.json"].replace(b"2 records were released", b"3 records were released")
    done = check(rewritten(changed, tmp_path, repair=False), "--report-sha256", digest)
    assert done.returncode == 1
    assert "it is not the one that was given" in done.stdout


def _event(files: Files, position: int = 0) -> str:
    return sorted(path for path in files if path.startswith("events/"))[position]


def _edit(files: Files, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(files[path])
    change(document)
    files[path] = json.dumps(document).encode()


def _event_body(files: Files) -> None:
    _edit(files, _event(files), lambda event: event.update(body=event["body"].replace("received", "released")))


def _salt(files: Files) -> None:
    _edit(files, _event(files), lambda event: event.update(salt="00" * 32))


def _private_part(files: Files) -> None:
    _edit(files, _event(files), lambda event: event.update(private=event["private"].replace("acme", "evil")))


def _leaf(files: Files) -> None:
    _edit(files, _event(files), lambda event: event.update(leaf=event["leaf"].replace('"time":"20', '"time":"19')))


def _proof(files: Files) -> None:
    def flip(event: dict[str, Any]) -> None:
        first = bytearray(base64.b64decode(event["proof"][0]))
        first[0] ^= 1
        event["proof"][0] = base64.b64encode(bytes(first)).decode()

    _edit(files, _event(files), flip)


def _shorter_proof(files: Files) -> None:
    _edit(files, _event(files), lambda event: event["proof"].pop())


def _place(files: Files) -> None:
    _edit(files, _event(files), lambda event: event.update(index=1))


def _checkpoint_root(files: Files) -> None:
    path = next(path for path in files if path.startswith("checkpoints/") and path.endswith(".txt"))
    origin, size, root, rest = files[path].decode().split("\n", 3)
    other = base64.b64encode(bytes(32)).decode()
    files[path] = "\n".join((origin, size, other if root != other else root, rest)).encode()


def _checkpoint_signature(files: Files) -> None:
    path = next(path for path in files if path.startswith("checkpoints/") and path.endswith(".txt"))
    text, _, signature = files[path].decode().rstrip("\n").rpartition(" ")
    data = bytearray(base64.b64decode(signature))
    data[-1] ^= 1
    files[path] = f"{text} {base64.b64encode(bytes(data)).decode()}\n".encode()


def _stamp_path(files: Files) -> str:
    return next(path for path in files if path.endswith(".tsr"))


def _stamp_imprint(files: Files) -> None:
    stamped = json.loads(files["report.json"])["log"]["stamp"]["checkpoint"]["path"]
    digest = verify_bundle.sha256(files[stamped])
    path = _stamp_path(files)
    assert digest in files[path]
    files[path] = files[path].replace(digest, bytes(32))


def _stamp_signature(files: Files) -> None:
    path = _stamp_path(files)
    data = bytearray(files[path])
    data[-10] ^= 1
    files[path] = bytes(data)


def _stamp_cut_short(files: Files) -> None:
    files[_stamp_path(files)] = files[_stamp_path(files)][:-30]


def _stamp_time(files: Files) -> None:
    _edit(files, "report.json", lambda report: report["log"]["stamp"].update(time="2020-01-01T00:00:00.000000Z"))


def _consistency(files: Files) -> None:
    path = next(path for path in files if "-to-" in path)
    _edit(files, path, lambda proof: proof.update(proof=[base64.b64encode(bytes(32)).decode()] * len(proof["proof"])))


def _image_byte(files: Files) -> None:
    path = next(path for path in files if path.startswith("items/"))
    files[path] = files[path][:-1] + bytes([files[path][-1] ^ 1])


def _swapped_events(files: Files) -> None:
    one, other = _event(files, 0), _event(files, 1)
    files[one], files[other] = files[other], files[one]


def _swapped_images(files: Files) -> None:
    one, other = sorted(path for path in files if path.startswith("items/"))
    files[one], files[other] = files[other], files[one]


def _prompt(files: Files) -> None:
    path = json.loads(files["report.json"])["items"][0]["prompt"]["path"]
    _edit(files, path, lambda shown: shown.update(plaintext=shown["plaintext"].replace("passwd", "shadow")))


def _shown_prompt(files: Files) -> None:
    _edit(files, "report.json", lambda report: report["items"][0]["prompt"].update(text="something harmless"))


def _verdict(files: Files) -> None:
    _edit(files, "report.json", lambda report: report["items"][2]["verdicts"][0].update(outcome="pass"))


def _released_digest(files: Files) -> None:
    _edit(files, "report.json", lambda report: report["items"][0].update(image_sha256="00" * 32))


def _kind_in_the_timeline(files: Files) -> None:
    _edit(files, "report.json", lambda report: report["items"][2]["timeline"][0].update(kind="released"))


def _policy(files: Files) -> None:
    path = next(path for path in files if path.startswith("policies/"))
    files[path] += b" "


def _missing_event(files: Files) -> None:
    del files[_event(files)]


CHANGES: list[tuple[Callable[[Files], None], str, str]] = [
    (_event_body, "event", "the leaf commits to another body or salt"),
    (_salt, "event", "the leaf commits to another body or salt"),
    (_private_part, "event", "the body commits to another private part or salt"),
    (_leaf, "event", "do not lead to the checkpoint's root"),
    (_proof, "event", "do not lead to the checkpoint's root"),
    (_shorter_proof, "event", "too few hashes"),
    (_place, "event", "do not lead to the checkpoint's root"),
    (_checkpoint_root, "checkpoint", "a signature does not fit"),
    (_checkpoint_signature, "checkpoint", "a signature does not fit"),
    (_stamp_imprint, "time stamp", "of other bytes than the checkpoint"),
    (_stamp_signature, "time stamp", "a signature does not fit"),
    (_stamp_cut_short, "time stamp", "broken DER"),
    (_stamp_time, "time stamp", "report.json says"),
    (_consistency, "consistency", "does not extend"),
    (_image_byte, "item", "is not the recorded object"),
    (_swapped_events, "event", "are of different events"),
    (_swapped_images, "item", "is not the recorded object"),
    (_prompt, "item", "a text is not the recorded"),
    (_shown_prompt, "item", "another text than the recorded one"),
    (_verdict, "item", "not the event's"),
    (_released_digest, "item", "has another SHA-256 in the events"),
    (_kind_in_the_timeline, "item", "another kind, place or time"),
    (_policy, "policy", "not the policy whose digest"),
    (_missing_event, "item", "is missing or does not hold"),
]


@pytest.mark.parametrize(("change", "what", "problem"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_each_change_is_named_even_if_the_list_of_files_is_made_to_fit(
    change: Callable[[Files], None],
    what: str,
    problem: str,
    bundle: Path,
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = contents(bundle)
    change(files)
    lines = _run(rewritten(files, tmp_path, repair=True), made, timestamp_authority, capsys, monkeypatch)
    failed = [line for line in lines if line.startswith("FAIL")]
    assert any(line.split("  ")[1].strip() == what and problem in line for line in failed), lines


@pytest.mark.parametrize("change", [_event_body, _image_byte, _policy, _stamp_signature, _checkpoint_root])
def test_each_change_of_a_file_is_named_by_the_list_of_files(
    change: Callable[[Files], None],
    bundle: Path,
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = contents(bundle)
    files = dict(before)
    change(files)
    changed = next(path for path in files if files[path] != before[path])
    lines = _run(rewritten(files, tmp_path, repair=False), made, timestamp_authority, capsys, monkeypatch)
    assert any(line.startswith("FAIL  digests") and f"changed file: {changed}" in line for line in lines)


def test_a_missing_and_an_unlisted_file_are_named(
    bundle: Path,
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = contents(bundle)
    gone = _event(files)
    del files[gone]
    lines = _run(rewritten(files, tmp_path, repair=False), made, timestamp_authority, capsys, monkeypatch)
    assert any(f"missing file: {gone}" in line for line in lines)
    files = contents(bundle) | {"items/extra.png": b"x"}
    lines = _run(rewritten(files, tmp_path, repair=False), made, timestamp_authority, capsys, monkeypatch)
    assert any("files that report.json does not list: items/extra.png" in line for line in lines)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "items/../../x", "C:evil", "a\\b", "items//x", "./x"])
def test_paths_that_lead_out_of_the_bundle_are_refused(
    name: str,
    bundle: Path,
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = contents(bundle) | {name: b"x"}
    lines = _run(rewritten(files, tmp_path, repair=False), made, timestamp_authority, capsys, monkeypatch)
    assert any("path outside the bundle" in line for line in lines)


def test_a_name_that_occurs_twice_is_refused(
    bundle: Path,
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = rewritten(contents(bundle), tmp_path, repair=False)
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("report.json", b"{}")
    lines = _run(target, made, timestamp_authority, capsys, monkeypatch)
    assert any("the name report.json occurs twice" in line for line in lines)


def test_what_is_no_bundle_is_said_to_be_none(
    made: Made,
    timestamp_authority: TimestampAuthority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    lines = _run(tmp_path / "x.zip", made, timestamp_authority, capsys, monkeypatch)
    assert lines[0].startswith("FAIL  bundle")


def test_the_authority_must_be_the_one_that_was_given(bundle: Path, check: Callable[..., Any], tmp_path: Path) -> None:
    with TimestampAuthority(tmp_path, common_name="Another authority") as other:
        done = check(bundle, "--tsa-ca", str(other.root))
    assert done.returncode == 1
    assert "the authority that was given did not issue" in done.stdout


def _run(
    bundle: Path,
    made: Made,
    authority: TimestampAuthority,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> list[str]:
    """What the verifier prints for a bundle that does not hold, run in this process for speed."""
    arguments = ["verify_bundle.py", str(bundle), "--log-key", made.report.log.key, "--tsa-ca", str(authority.root)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert verify_bundle.main() == 1
    return capsys.readouterr().out.splitlines()
