"""Trust lists from the command line, and verification as of an earlier list."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from api.composition import Imprimatur
from api.settings import Settings
from provenance.credential import sign_credential
from provenance.development_ca import development_root_pem, development_signer
from tests.api.painting import painting_service
from tests.provenance.pictures import description, encoded, now, textured


@pytest.fixture(scope="module")
def own_settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A service of its own: what is trusted there is no other test's business."""
    return Settings(data_dir=tmp_path_factory.mktemp("trust"), database_url=database_url)


@pytest.fixture(scope="module")
def services(own_settings: Settings) -> Iterator[Imprimatur]:
    with painting_service(own_settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The root of a stranger, and an image that the stranger has signed."""
    folder = tmp_path_factory.mktemp("stranger")
    signer = development_signer(folder, now)
    (folder / "root.pem").write_text(development_root_pem(folder))
    made = description(title="strange", soft_bindings=())
    return folder / "root.pem", sign_credential(encoded(textured(5, 128), "png"), "png", made, signer, clock=now).data


@pytest.fixture
def run(own_settings: Settings, services: Imprimatur, monkeypatch: pytest.MonkeyPatch) -> Any:
    assert own_settings.database_url is not None
    monkeypatch.setenv("IMPRIMATUR_DATA_DIR", str(own_settings.data_dir))
    monkeypatch.setenv("IMPRIMATUR_DATABASE_URL", own_settings.database_url.get_secret_value())

    def invoke(*arguments: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


def shown(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return document


def test_a_stranger_is_trusted_after_and_not_as_of_before(
    run: Any, services: Imprimatur, foreign: tuple[Path, bytes], tmp_path: Path
) -> None:
    root, data = foreign
    (tmp_path / "image.png").write_bytes(data)
    before = shown(run("trust", "show", "--json"))
    assert (before["name"], len(before["anchors"])) == ("C2PA Trust List", 52)
    first = shown(run("verify", tmp_path / "image.png", "--json"))
    assert first["conclusions"] == ["inconclusive"]

    run("trust", "add", root, "--label", "a stranger")

    now_trusted = shown(run("verify", tmp_path / "image.png", "--json"))
    assert now_trusted["conclusion"] == "declared_ai"
    credential = next(one for one in now_trusted["evidence"] if one["status"] == "trusted")
    assert credential["details"]["trust_list"]["digest"] != before["digest"]
    as_of = shown(run("verify", tmp_path / "image.png", "--json", "--trust-list", before["digest"]))
    assert as_of["conclusions"] == ["inconclusive"]
    then = next(one for one in as_of["evidence"] if one["status"] == "intact_untrusted")
    assert then["details"]["trust_list"]["digest"] == before["digest"]

    changed, verified = services.log.recent(4), services.log.recent(1)[0]
    assert "trust_list_updated" in {event.kind for event in changed}
    assert verified.fields()["trust_list"] == before["digest"]


def test_a_test_anchor_is_labelled_wherever_trust_rests_on_it(
    run: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tester")
    signer = development_signer(folder, now)
    (folder / "root.pem").write_text(development_root_pem(folder))
    data = sign_credential(encoded(textured(6, 128), "png"), "png", description(soft_bindings=()), signer, clock=now)
    (tmp_path / "image.png").write_bytes(data.data)
    run("trust", "add", folder / "root.pem", "--label", "our tests", "--test-only")
    text = run("verify", tmp_path / "image.png").output
    assert "trusted_for_tests_only" in text
    assert "added for tests only" in text
    assert "test only" in run("trust", "show").output


def test_an_update_replaces_the_official_lists_and_keeps_what_was_added(
    run: Any, foreign: tuple[Path, bytes], shared_data: Path
) -> None:
    run("trust", "add", foreign[0], "--label", "stamps of a stranger", "--time-stamps")
    added = [one for one in shown(run("trust", "show", "--json"))["anchors"] if one["source"].startswith("added")]
    newer = shared_data / "c2pa/conformance/C2PA-TSA-TRUST-LIST.pem"
    updated = shown(run("trust", "update", "--signers", newer, "--name", "Next", "--dated", "2027-01-01", "--json"))
    assert (updated["name"], updated["dated"]) == ("Next", "2027-01-01")
    assert [one for one in updated["anchors"] if one["source"].startswith("added")] == added
    assert sum(one["for"] == "signer" for one in updated["anchors"] if not one["source"].startswith("added")) == 22
    again = shown(run("trust", "update", "--json"))
    assert again["name"] == "C2PA Trust List"
    assert len([one for one in again["anchors"] if not one["source"].startswith("added")]) == 52


def test_what_is_no_list_changes_nothing(run: Any, tmp_path: Path) -> None:
    before = shown(run("trust", "show", "--json"))["digest"]
    (tmp_path / "list.pem").write_text("nothing")
    run("trust", "add", tmp_path / "list.pem", "--label", "x", code=2)
    run("trust", "update", "--signers", tmp_path / "list.pem", code=2)
    run("trust", "show", "--digest", "0" * 64, code=2)
    assert shown(run("trust", "show", "--json"))["digest"] == before


def test_the_command_line_shows_the_credential_for_a_person(run: Any, shared_data: Path) -> None:
    text = run("verify", shared_data / "c2pa/public-testfiles/adobe-20220124-CIE-sig-CA.jpg").output
    for line in (
        "signer: C2PA Signer (issued by",
        "judged by: C2PA Trust List of 2026-11-22, digest ",
        "claims (untrusted): declared_edited",
        "ingredient E-sig-CA.jpg",
        "BROKEN (timeStamp.mismatch, claimSignature.mismatch)",
        "revocation: not asked",
    ):
        assert line in text, text


class TestRemoteManifests:
    """A file may only point to its credential (XMP `dcterms:provenance`)."""

    @pytest.fixture
    def server(self, foreign: tuple[Path, bytes]) -> Iterator[tuple[str, list[str]]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(store)))
                self.end_headers()
                self.wfile.write(store)

            def log_message(self, format: str, *args: object) -> None:
                pass

        running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        address = f"http://127.0.0.1:{running.server_address[1]}/manifest.c2pa"
        self.data, store = _remotely_signed(address, foreign[0].parent)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield address, asked
        running.shutdown()
        running.server_close()
        thread.join()

    def test_it_is_not_fetched_unless_allowed(self, services: Imprimatur, server: tuple[str, list[str]]) -> None:
        document = services.verification.verify(self.data, services.local_caller()).to_document()
        assert ("credential", "remote_not_fetched") in {(e["technique"], e["status"]) for e in document["evidence"]}
        assert server[1] == []

    def test_where_allowed_it_is_fetched_by_the_guarded_fetcher_and_is_no_conclusion(
        self, own_settings: Settings, services: Imprimatur, server: tuple[str, list[str]]
    ) -> None:
        allowed = own_settings.model_copy(update={"remote_manifests": True, "url_private_addresses": True})
        with painting_service(allowed) as opened:
            document = opened.verification.verify(self.data, opened.local_caller()).to_document()
        assert server[1] == ["/manifest.c2pa"]
        remote = [one for one in document["evidence"] if one["established"] == "remote"]
        assert {one["status"] for one in remote} & {"trusted", "intact_untrusted"}
        assert document["conclusions"] == ["inconclusive"]

    def test_a_private_address_is_not_fetched(
        self, own_settings: Settings, services: Imprimatur, server: tuple[str, list[str]]
    ) -> None:
        with painting_service(own_settings.model_copy(update={"remote_manifests": True})) as opened:
            document = opened.verification.verify(self.data, opened.local_caller()).to_document()
        assert server[1] == []
        assert "remote_unreachable" in {one["status"] for one in document["evidence"]}


def _remotely_signed(address: str, keys: Path) -> tuple[bytes, bytes]:
    """A file that points to its manifest store, and that store."""
    import io

    import c2pa

    from provenance.manifest import definition

    signer, out = development_signer(keys, now), io.BytesIO()
    with (
        c2pa.Signer.from_callback(
            signer.sign, c2pa.C2paSigningAlg.ES256, signer.certificate_chain_pem, None
        ) as sdk_signer,
        c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}})
        as context,
        c2pa.Builder(definition(description(soft_bindings=())), context) as builder,
    ):  # fmt: skip
        builder.set_no_embed()
        builder.set_remote_url(address)
        store = builder.sign(sdk_signer, "image/png", io.BytesIO(encoded(textured(8, 128), "png")), out)
    return out.getvalue(), store
