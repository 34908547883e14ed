import errno
import hashlib
import os
import resource
from pathlib import Path

import pytest

from audit import ObjectReference, ObjectStore, Vault
from audit.errors import ErasedError, ObjectCorruptError, ObjectError, ObjectMissingError, StorageFullError
from audit.objects import sealed_size

IMAGE = b"\x89PNG" + bytes(range(256)) * 40


def stored_files(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "objects").rglob("*") if path.is_file())


def test_an_object_is_named_by_the_digest_of_its_plaintext_and_comes_back(objects: ObjectStore) -> None:
    reference = objects.put(IMAGE, "tenant/alice")
    assert reference.sha256 == hashlib.sha256(IMAGE).hexdigest()
    assert reference.size == len(IMAGE)
    assert objects.get(reference) == IMAGE
    assert objects.exists(reference)


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_any_size_is_taken(objects: ObjectStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    assert objects.get(objects.put(data, "tenant/alice")) == data
    assert [path.stat().st_size for path in stored_files(tmp_path)] == [sealed_size(size)]


def test_nothing_readable_is_on_the_disk(objects: ObjectStore, tmp_path: Path) -> None:
    objects.put(IMAGE, "tenant/alice")
    (path,) = stored_files(tmp_path)
    assert IMAGE[:20] not in path.read_bytes()
    assert "alice" not in str(path)


def test_storing_the_same_again_is_harmless(objects: ObjectStore, tmp_path: Path) -> None:
    first, second = objects.put(IMAGE, "tenant/alice"), objects.put(IMAGE, "tenant/alice")
    assert first == second
    assert objects.get(first) == IMAGE
    assert len(stored_files(tmp_path)) == 1


def test_the_same_image_of_two_subjects_is_two_objects(objects: ObjectStore, vault: Vault) -> None:
    alice, bob = objects.put(IMAGE, "tenant/alice"), objects.put(IMAGE, "tenant/bob")
    vault.erase("tenant/alice")
    with pytest.raises(ErasedError):
        objects.get(alice)
    assert objects.get(bob) == IMAGE


def test_an_erased_subjects_objects_cannot_be_opened_and_are_removed(
    objects: ObjectStore, vault: Vault, tmp_path: Path
) -> None:
    references = [objects.put(IMAGE + bytes([n]), "tenant/alice") for n in range(3)]
    erasure = vault.erase("tenant/alice")
    with pytest.raises(ErasedError):
        objects.get(references[0])
    assert objects.erase(erasure.subject_ids[0]) == 3
    assert stored_files(tmp_path) == []
    assert objects.erase(erasure.subject_ids[0]) == 0


def test_changed_bytes_are_found(objects: ObjectStore, tmp_path: Path) -> None:
    reference = objects.put(IMAGE, "tenant/alice")
    (path,) = stored_files(tmp_path)
    content = bytearray(path.read_bytes())
    for position in (0, 10, 100, len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ObjectCorruptError):
            objects.get(reference)
    path.write_bytes(content[:-1])
    with pytest.raises(ObjectCorruptError):
        objects.get(reference)


def test_an_object_in_anothers_place_is_found(objects: ObjectStore, tmp_path: Path) -> None:
    first, second = objects.put(IMAGE, "tenant/alice"), objects.put(b"other", "tenant/alice")
    folder = tmp_path / "objects" / first.subject_id
    source, target = (folder / r.sha256[:2] / r.sha256 for r in (first, second))
    target.write_bytes(source.read_bytes())
    with pytest.raises(ObjectCorruptError):
        objects.get(second)


def test_a_missing_object_is_a_typed_error(objects: ObjectStore, tmp_path: Path) -> None:
    reference = objects.put(IMAGE, "tenant/alice")
    stored_files(tmp_path)[0].unlink()
    with pytest.raises(ObjectMissingError):
        objects.get(reference)
    assert not objects.exists(reference)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" * 32, "ab" * 31])
def test_a_reference_cannot_lead_out_of_the_store(objects: ObjectStore, digest: str) -> None:
    good = objects.put(IMAGE, "tenant/alice")
    with pytest.raises(ObjectError):
        objects.get(ObjectReference(digest, good.subject_id, 1))
    with pytest.raises(ObjectError):
        objects.erase(digest)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_typed_error_and_leaves_nothing(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    objects.put(b"first", "tenant/alice")

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFullError, match="free space"):
            objects.put(IMAGE, "tenant/alice")
    assert len(stored_files(tmp_path)) == 1


def test_a_write_that_the_system_cuts_short_is_a_typed_error(objects: ObjectStore, tmp_path: Path) -> None:
    """A limit of the kernel on the file's size: the write itself fails, as on a full disk or quota."""
    objects.put(b"first", "tenant/alice")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageFullError, match="free space"):
            objects.put(IMAGE, "tenant/alice")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(stored_files(tmp_path)) == 1


def test_a_folder_that_cannot_be_written_is_a_typed_error(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file where the folder should be")
    store = ObjectStore(str(tmp_path / "objects"), vault)
    with pytest.raises(ObjectError):
        store.put(IMAGE, "tenant/alice")


def test_a_writer_that_dies_leaves_no_half_object_under_the_name(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            objects.put(IMAGE, "tenant/alice")
    assert stored_files(tmp_path) == []


def test_other_file_systems_are_reached_by_url(vault: Vault) -> None:
    store = ObjectStore("memory://imprimatur-test", vault)
    reference = store.put(IMAGE, "tenant/alice")
    assert store.get(reference) == IMAGE
    assert store.erase(reference.subject_id) == 1
    with pytest.raises(ObjectMissingError):
        store.get(reference)


def test_a_file_url_is_a_local_folder(vault: Vault, tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path / 'elsewhere'}", vault)
    reference = store.put(IMAGE, "tenant/alice")
    path = tmp_path / "elsewhere" / reference.subject_id / reference.sha256[:2] / reference.sha256
    assert path.stat().st_mode & 0o077 == 0
    assert store.get(reference) == IMAGE


def test_a_discarded_object_is_gone_and_discarding_it_again_is_harmless(objects: ObjectStore) -> None:
    reference = objects.put(b"put aside", "tenant/alice")
    kept = objects.put(b"kept", "tenant/alice")
    objects.discard(reference)
    objects.discard(reference)
    assert not objects.exists(reference)
    assert objects.get(kept) == b"kept"
