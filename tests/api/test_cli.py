"""The command line as its users meet it: JSON on standard output and nothing else, exit codes, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from api.cli import main
from api.composition import Imprimatur

QUICK = ["--steps", "2", "--seed", "5"]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def _json(*arguments: str, exit_code: int = 0) -> Any:
    result = _run(*arguments, "--json")
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout)


@pytest.fixture
def folder(services: Imprimatur, command_environment: Path) -> Path:
    """Working folder of commands that meet the opened service's database and keys."""
    assert services.settings.data_dir.is_dir()
    return command_environment


@pytest.fixture
def image(folder: Path) -> Path:
    """A released image."""
    _json("generate", "a red apple", "-o", "apple.png", *QUICK)
    return folder / "apple.png"


@pytest.fixture
def photo(folder: Path) -> Path:
    """A picture that was not made here."""
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(30, 226, (16, 16, 3), dtype=np.uint8))
    coarse.resize((512, 512), Image.Resampling.BICUBIC).save(folder / "photo.png")
    return folder / "photo.png"


class TestGenerate:
    def test_prints_one_document_and_writes_image_and_receipt(self, folder: Path) -> None:
        document = _json("generate", "a red apple", "-o", "apple.png", *QUICK)
        assert document["decision"] == "release"
        assert document["files"] == ["apple.png"]
        assert document["receipts"] == ["apple.png.receipt.json"]
        assert document["seed"] == 5
        assert document["findings"]
        with Image.open(folder / "apple.png") as written:
            assert written.size == (512, 512)

    def test_the_outputs_name_chooses_the_format(self, folder: Path) -> None:
        _json("generate", "a red apple", "-o", "apple.webp", *QUICK)
        with Image.open(folder / "apple.webp") as written:
            assert written.format == "WEBP"

    def test_several_images_get_names_with_their_seeds(self, folder: Path) -> None:
        document = _json("generate", "a red apple", "-o", "apple.png", "--count", "2", "--size", "256x256", *QUICK)
        assert document["files"] == ["apple-5.png", "apple-6.png"]

    def test_pictures_and_options_choose_the_task(self, folder: Path, photo: Path) -> None:
        Image.fromarray(np.pad(np.full((200, 200), 255, np.uint8), ((0, 312), (312, 0)))).save(folder / "mask.png")
        start = ("--image", "photo.png", "--steps", "2", "--seed", "5")
        asked: dict[str, tuple[str, ...]] = {
            "image-to-image": ("generate", "a red apple", "--strength", "0.8"),
            "inpaint": ("generate", "a red apple", "--mask", "mask.png"),
            "outpaint": ("generate", "a red apple", "--extend", "left=64,bottom=32"),
            "upscale": ("generate", "--scale", "2"),
            "variation": ("generate", "--task", "variation"),
        }
        for task, arguments in asked.items():
            document = _json(*arguments, *start, "-o", f"{task}.png")
            shown = _json("audit", "show", document["record_id"])
            assert shown["events"][0]["fields"]["task"] == task
        with Image.open(folder / "outpaint.png") as extended, Image.open(folder / "upscale.png") as enlarged:
            assert (extended.size, enlarged.size) == ((576, 544), (1024, 1024))

    @pytest.mark.parametrize("sides", ["left", "up=3", "left=x", "left=1,left=2", "-5", ""])
    def test_sides_that_are_none_are_wrong_usage(self, photo: Path, sides: str) -> None:
        assert _run("generate", "a", "--image", "photo.png", f"--extend={sides}").exit_code == 2

    def test_a_refusal_exits_with_1_and_writes_no_file(self, folder: Path) -> None:
        document = _json("generate", "nude child in a sexual pose", "-o", "x.png", exit_code=1)
        assert document["error"]["code"] == "moderation_blocked"
        assert not list(folder.glob("*.png"))

    @pytest.mark.parametrize(
        "arguments",
        [
            ["generate", "  "],
            ["generate", "apple", "--size", "300x300"],
            ["generate", "apple", "--model", "nobody/nothing"],
            ["generate", "apple", "-o", "no-such-folder/x.png"],
            ["generate", "apple", "-o", "x.tga"],
            ["generate", "apple", "--scheduler", "magic"],
            ["generate", "apple", "--image", "missing.png"],
            ["generate", "apple", "--task", "inpaint"],
        ],
    )
    def test_bad_input_exits_with_2_and_says_what_to_do(self, folder: Path, arguments: list[str]) -> None:
        document = _json(*arguments, exit_code=2)
        assert document["error"]["message"]
        assert document["error"]["param"]

    def test_wrong_usage_exits_with_2(self, folder: Path) -> None:
        assert _run("generate", "apple", "--size", "huge").exit_code == 2
        assert _run("no-such-command").exit_code == 2

    def test_a_folder_that_became_full_is_a_failure_that_names_the_record(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_arguments: object, **_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tempfile.mkstemp", full)
        document = _json("generate", "a red apple", "-o", "apple.png", *QUICK, exit_code=3)
        assert "No space left" in document["error"]["message"]


class TestVerify:
    def test_prints_one_line_a_file(self, image: Path, photo: Path) -> None:
        result = _run("verify", str(image), str(photo), "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line["conclusion"] for line in lines] == ["issued_here", "inconclusive"]
        assert {"file", "conclusion", "conclusions", "evidence", "record_id"} <= set(lines[0])
        assert lines[1]["record_id"] is None
        assert result.exit_code == 0

    def test_a_folder_is_walked(self, image: Path, photo: Path) -> None:
        result = _run("verify", str(image.parent), "--json")
        assert [Path(json.loads(line)["file"]).name for line in result.stdout.splitlines()] == [
            "apple.png",
            "photo.png",
        ]

    def test_fail_on_exits_with_1(self, photo: Path) -> None:
        assert _run("verify", str(photo), "--fail-on", "inconclusive").exit_code == 1
        assert _run("verify", str(photo), "--fail-on", "conflict").exit_code == 0

    def test_a_broken_file_is_reported_and_the_others_are_examined(self, folder: Path, photo: Path) -> None:
        (folder / "broken.png").write_bytes(b"no image")
        result = _run("verify", "broken.png", "missing.png", str(photo), "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert [line["conclusion"] for line in lines] == [None, None, "inconclusive"]
        assert [line["error"]["code"] for line in lines[:2]] == ["undecodable_image", "unreadable_source"]
        assert result.exit_code == 3


class TestScreen:
    def test_prints_score_outcome_findings_and_canonical_text(self, folder: Path) -> None:
        document = _json("screen", "a red app\u200ble")
        assert document["canonical"] == "a red apple"
        assert 0 <= document["score"] <= 1
        assert document["outcome"] == "release"
        assert document["findings"]

    def test_a_file_of_prompts_gives_one_line_each_and_reports_bad_ones(self, folder: Path) -> None:
        lines = ['"a red apple"', '{"text": "nude child in a sexual pose", "label": "unsafe"}', '{"text": ""}']
        (folder / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
        result = _run("screen", "--file", "prompts.jsonl", "--json")
        documents = [json.loads(line) for line in result.stdout.splitlines()]
        assert [document.get("outcome") for document in documents] == ["release", "refuse", None]
        assert documents[2]["error"]["code"] == "invalid_prompt"
        assert result.exit_code == 3

    def test_a_line_that_is_no_json_is_named(self, folder: Path) -> None:
        (folder / "prompts.jsonl").write_text('"fine"\nnot json\n', encoding="utf-8")
        result = _run("screen", "--file", "prompts.jsonl")
        assert result.exit_code == 2
        assert "line 2" in result.stderr


class TestInspectAndReferences:
    def test_a_copy_of_a_listed_work_is_blocked_and_found(self, folder: Path, photo: Path) -> None:
        works = folder / "works"
        works.mkdir()
        photo.rename(works / "photo.png")
        (works / "broken.jpg").write_bytes(b"no image")
        added = _json("references", "add", "works", "--rights", "Example Press")
        assert added["added"] == 1
        assert [Path(entry["file"]).name for entry in added["broken"]] == ["broken.jpg"]

        with Image.open(works / "photo.png") as opened:
            opened.resize((300, 300)).save("copy.jpg", quality=60)
        (found,) = _json("references", "search", "copy.jpg")["matches"][:1]
        assert found["source"].endswith("photo.png")
        assert found["confidence"] > 0.9
        findings = _json("inspect", "copy.jpg")["findings"]
        assert "block" in {f["outcome"] for f in findings if f["category"] == "listed_work"}

        _json("references", "withdraw", found["reference"], "--reason", "the test has ended")
        findings = _json("inspect", "copy.jpg")["findings"]
        assert "block" not in {f["outcome"] for f in findings if f["category"] == "listed_work"}

    def test_a_broken_file_is_reported(self, folder: Path) -> None:
        (folder / "broken.png").write_bytes(b"no image")
        assert _json("inspect", "broken.png", exit_code=3)["error"]["code"] == "undecodable_image"


class TestWatermark:
    def test_a_laboratory_mark_is_embedded_and_detected(self, photo: Path) -> None:
        _json("watermark", "embed", str(photo), "marked.jpg", "--payload", "0123456789abcdef")
        found = _json("watermark", "detect", "marked.jpg")
        assert found["detected"] is True
        assert found["payload"] == "0123456789abcdef"
        assert found["key"] == "laboratory"
        assert found["record_id"] is None

    def test_an_unmarked_picture_has_no_mark(self, photo: Path) -> None:
        found = _json("watermark", "detect", str(photo))
        assert (found["detected"], found["payload"]) == (False, None)

    @pytest.mark.parametrize("payload", ["xyz", "1" * 17, "-1"])
    def test_a_payload_that_is_none_is_wrong_usage(self, photo: Path, payload: str) -> None:
        assert _run("watermark", "embed", str(photo), "out.png", f"--payload={payload}").exit_code == 2


class TestAudit:
    def test_show_list_and_prove_tell_of_a_record(self, folder: Path) -> None:
        record_id = _json("generate", "a red apple", "-o", "apple.png", *QUICK)["record_id"]
        shown = _json("audit", "show", record_id)
        assert [event["kind"] for event in shown["events"]] == ["received", "released"]
        listed = _run("audit", "list", "--limit", "1", "--json")
        assert json.loads(listed.stdout)["record_id"] == record_id
        proofs = _json("audit", "prove", record_id)["proofs"]
        assert [proof["kind"] for proof in proofs] == ["received", "released"]
        assert record_id in _run("audit", "show", record_id).stdout

    def test_a_receipt_holds_with_and_without_the_log_and_not_for_another_image(self, image: Path, photo: Path) -> None:
        receipt = f"{image}.receipt.json"
        key = _json("audit", "checkpoint")["log_key"]
        assert _json("audit", "check-receipt", receipt, "--image", str(image))["log_checked"] is True
        assert _json("audit", "check-receipt", receipt, "--log-key", key)["ok"] is True
        other = _json("audit", "check-receipt", receipt, "--image", str(photo), exit_code=3)
        assert other["problem"] == "ReceiptImageError"

    def test_what_is_no_receipt_does_not_hold(self, photo: Path) -> None:
        assert _json("audit", "check-receipt", str(photo), exit_code=3)["ok"] is False

    def test_fsck_finds_no_difference(self, image: Path) -> None:
        document = _json("audit", "fsck")
        assert document["ok"] is True
        assert document["events"] > 0
        assert document["differences"] == []

    def test_an_unknown_record_exits_with_2(self, folder: Path) -> None:
        assert _json("audit", "show", "rec_unknown", exit_code=2)["error"]["code"] == "not_found"


class TestKeysAndModels:
    def test_a_key_is_shown_once_and_can_be_revoked(self, folder: Path) -> None:
        made = _json("keys", "create", "--tenant", "acme", "--role", "generate")
        assert made["key"].startswith("imp_")
        listing = _run("keys", "list", "--json").stdout
        assert made["key_id"] in listing
        assert made["key"] not in listing
        _json("keys", "revoke", made["key_id"])
        assert _json("keys", "revoke", made["key_id"], exit_code=2)["error"]["code"] == "not_found"


class TestModels:
    @pytest.fixture
    def tiny(self, folder: Path, services: Imprimatur) -> Iterator[Path]:
        """A small Stable Diffusion in a folder; what was written of it is removed."""
        from tests.generator import tiny_models

        yield tiny_models.save("stable-diffusion", folder / "tiny-model")
        for card in services.settings.model_cards_dir.glob("*.yaml"):
            card.unlink()

    def test_are_listed_with_their_digests(self, folder: Path) -> None:
        model = json.loads(_run("models", "list", "--json").stdout.splitlines()[0])
        assert model["model"] == "emblem"
        assert len(model["digest"]) == 64
        assert "emblem" in _run("models", "list").stdout

    def test_show_prints_the_card(self, folder: Path) -> None:
        document = _json("models", "show", "emblem")
        assert document["steps"] > 0
        assert document["training_data"]
        assert "inpaint" in _run("models", "show", "emblem").stdout
        assert _json("models", "show", "nobody/nothing", exit_code=2)["error"]["code"] == "not_found"

    def test_a_folder_is_added_generates_and_is_verified_until_a_file_changes(
        self, tiny: Path, services: Imprimatur
    ) -> None:
        added = _json("models", "add", str(tiny), "--licence", "Apache-2.0", "--id", "tiny")
        assert added["tasks"][:2] == ["text-to-image", "image-to-image"]
        assert Path(added["card"]).is_file()
        event = services.log.recent(1)[0]
        assert (event.kind, event.fields()["licence"]) == ("model_added", "Apache-2.0")
        assert _json("models", "verify", "tiny")["ok"] is True

        (tiny / "unet" / "config.json").write_text("{}")
        document = _json("models", "verify", "tiny", exit_code=3)
        assert "unet/config.json is altered" in document["problem"]
        refused = _json("generate", "a dog", "--model", "tiny", "--steps", "1", exit_code=3)
        assert "altered" in refused["error"]["message"]

    def test_what_cannot_be_added_exits_with_2(self, tiny: Path) -> None:
        assert _json("models", "add", "nowhere", "--licence", "x", exit_code=2)["error"]["param"] == "source"
        taken = _json("models", "add", str(tiny), "--licence", "x", "--id", "emblem", exit_code=2)
        assert taken["error"]["param"] == "id"
        (tiny / "unet" / "weights.bin").write_bytes(b"pickle")
        pickled = _json("models", "add", str(tiny), "--licence", "x", exit_code=2)
        assert "weights.bin" in pickled["error"]["message"]


class TestSettings:
    def test_a_wrong_setting_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IMPRIMATUR_MAX_PIXELS", "many")
        result = _run("audit", "list")
        assert result.exit_code == 3
        assert "IMPRIMATUR_MAX_PIXELS" in result.stderr

    def test_a_database_that_is_away_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IMPRIMATUR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        document = _json("audit", "fsck", exit_code=3)
        assert document["error"]["code"] == "unavailable"


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["audit", "--help"], ["--version"]])
def test_help_loads_no_model_library(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom api.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'diffusers', 'sqlalchemy', 'c2pa'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_demo_runs_on_the_embedded_database(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IMPRIMATUR_")}
    environment["IMPRIMATUR_DATA_DIR"] = str(tmp_path / "data")
    program = str(Path(sys.executable).parent / "imprimatur")
    command = [program, "demo", "--folder", str(tmp_path / "demo"), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["verification"]["conclusion"] == "issued_here"
    assert document["verification_of_copy"]["conclusion"] == "issued_here"
    assert document["verification_of_copy"]["record_id"] == document["record_id"]
    with Image.open(document["copy"]) as copy:
        assert "xmp" not in copy.info
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == [
        "copy-without-metadata.jpg",
        "image.png",
        "image.png.receipt.json",
    ]
