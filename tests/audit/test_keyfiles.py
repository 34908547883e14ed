import multiprocessing
import os
from pathlib import Path

import pytest

from audit.errors import KeyFileError
from audit.keyfiles import create_once, destroy, read


def _create(path: Path, content: bytes, start: object, results: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    results.put(create_once(path, content))  # type: ignore[attr-defined]


def test_a_new_file_is_the_owners_only_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    assert create_once(path, b"secret") == b"secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["a.key"]


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    create_once(path, b"first")
    assert create_once(path, b"second") == b"first"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    path = tmp_path / "a.key"
    processes = [context.Process(target=_create, args=(path, os.urandom(32), start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    contents = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert contents == {path.read_bytes()}


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    create_once(path, b"secret")
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read(path)


def test_a_missing_file_and_a_folder_in_its_place_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot read"):
        read(tmp_path / "none.key")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileError, match="cannot write"):
        create_once(tmp_path / "file" / "a.key", b"x")


def test_destroying_overwrites_the_bytes_before_the_name_goes(tmp_path: Path) -> None:
    path, witness = tmp_path / "a.key", tmp_path / "witness"
    create_once(path, b"secret" * 10)
    os.link(path, witness)
    destroy(path)
    assert not path.exists()
    assert b"secret" not in witness.read_bytes()
    assert witness.stat().st_size == 60


def test_destroying_what_is_gone_does_nothing(tmp_path: Path) -> None:
    destroy(tmp_path / "none.key")
