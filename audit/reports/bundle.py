"""The bundle: a zip file with everything that a report rests on, and the verifier to check it without this program."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Final

from audit.errors import ReportError, StorageFullError
from audit.ledger.checkpoint import Checkpoint
from audit.reports.content import (
    BundleFile,
    Edition,
    LogStatement,
    Report,
    SignedCheckpoint,
    StampStatement,
    plain,
)
from audit.reports.editions import redact
from audit.reports.evidence import EvidenceReader, ProvedEvent
from audit.reports.schema import schema_text
from audit.reports.signing import DocumentSigner, sign_document
from audit.reports.typesetting import typeset
from audit.stamping import Stamp

VERIFIER: Final = "verify_bundle.py"
DATA: Final = "report.json"
DOCUMENT: Final = "report.pdf"
_PATH = re.compile(r"(?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_STORED_AS_IT_IS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tiff", ".pdf", ".c2pa"})
_README = """\
Report {id}, {edition} edition, made {made_at:%Y-%m-%d %H:%M:%S} UTC.

report.pdf          for reading; signed
report.json         the same as data; report-schema.json describes it. Lists every other file with its SHA-256
events/             one file an event: leaf, inclusion proof, salt, body{private}
checkpoints/        signed states of the log, the time stamp on one of them, and the proof that joins them
disclosures/        personal texts with the salts that the events' commitments need (full edition)
items/              stored objects; thumbnails/: small pictures of them; credentials/: C2PA manifest stores
policies/, trust/, certificates/

To check it, with Python 3.11, the package cryptography, and the log's public key from elsewhere than this bundle:

    python3 verify_bundle.py {name} --log-key KEY

You may take verify_bundle.py from the program's own source instead of from here; it is the file
audit/reports/verify_bundle.py there.
"""


class Staging:
    """Files that a report refers to, in a folder until the bundle is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BundleFile] = {}

    def add(self, path: str, data: bytes) -> str:
        """Keeps `data` for the bundle's `path`; gives the path.

        Raises:
            ReportError: the path is no plain path, or another file has it already.
            StorageFullError: the disk is full.
        """
        if not _PATH.fullmatch(path) or ".." in path.split("/"):
            raise ReportError(f"{path[:200]!r} is no path for a bundle; expected names of letters, digits, _ . -")
        file = BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        if self._files.setdefault(path, file) != file:
            raise ReportError(f"two files of the bundle would be named {path}")
        target = self._folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            raise StorageFullError(f"the report's files could not be written to {self._folder}: {error}") from error
        return path

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def file(self, path: str) -> BundleFile:
        """What the bundle's list says of a file."""
        return self._files[path]

    def read(self, path: str) -> bytes:
        """Its content."""
        return (self._folder / path).read_bytes()


@dataclass(frozen=True)
class Written:
    """Where a report is."""

    document: Path
    bundle: Path
    data_sha256: str
    signed: bool


def event_path(event_id: str, index: int | None) -> str:
    """Where the bundle has an event."""
    return f"events/{'unsequenced' if index is None else f'{index:010d}'}-{event_id}.json"


def log_statement(
    reader: EvidenceReader, proved: Sequence[ProvedEvent], stamp: Stamp | None, staging: Staging
) -> LogStatement:
    """What the report says of the log; puts checkpoints, stamp and consistency proof into the bundle."""
    used = {one.checkpoint.size: one.checkpoint for one in proved if one.checkpoint is not None}
    stamped = stamp.checkpoint if stamp else None
    newest = max((one for size, one in used.items()), key=lambda one: one.size, default=None)
    if newest is None or (stamped is not None and newest.size <= stamped.size):
        newest = reader.newest()
    consistency = None
    if stamped is not None and newest is not None and stamped.size < newest.size:
        name = f"checkpoints/{stamped.size}-to-{newest.size}.json"
        consistency = staging.add(name, reader.consistency(stamped, newest))
    return LogStatement(
        origin=reader.public_key.origin,
        key=str(reader.public_key),
        newest=None if newest is None else _signed(newest, staging),
        stamp=None
        if stamp is None
        else StampStatement(
            checkpoint=_signed(stamp.checkpoint, staging),
            time=stamp.time,
            authority=stamp.authority,
            path=staging.add(f"checkpoints/{stamp.checkpoint.size}.tsr", stamp.response),
        ),
        consistency=consistency,
        events=len(proved),
        events_stamped=sum(one.is_stamped for one in proved),
    )


def write(
    report: Report,
    proved: Sequence[ProvedEvent],
    staging: Staging,
    folder: Path,
    *,
    edition: Edition,
    signer: DocumentSigner | None,
    fonts: Path | None = None,
) -> Written:
    """Writes the document and the bundle of one edition into `folder`.

    Args:
        report: the full report; its `files` are filled in here.
        proved: every event that it refers to.
        staging: the files that it refers to.

    Raises:
        ReportError: the document could not be set or signed.
        StorageFullError: the files could not be written.
    """
    report = report if edition == "full" else redact(report)
    name = f"imprimatur-report-{report.id}" + ("" if edition == "full" else "-redacted")
    own = dict(_own_files(report, proved, signer, f"{name}.zip"))
    document = plain(report)
    referenced = sorted(path for path in _paths(document) if staging.has(path))
    listed = [staging.file(path) for path in referenced]
    listed += [
        BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for path, data in own.items()
    ]
    document["files"] = plain(sorted(listed, key=lambda file: file.path))
    data = (json.dumps(document, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(data).hexdigest()
    pictures = {path: staging.read(path) for path in referenced if path.startswith("thumbnails/")}
    said = "none: no certificate to sign with." if signer is None else signer.describe()
    pdf = typeset(document, data_sha256=digest, signature=said, pictures=pictures, fonts=fonts)
    if signer is not None:
        pdf = sign_document(pdf, signer, reason=f"Report {report.id}, {edition} edition")
    contents = {DATA: data, DOCUMENT: pdf, **own}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        document, bundle = folder / f"{name}.pdf", folder / f"{name}.zip"
        document.write_bytes(pdf)
        _zip(bundle, report, contents, referenced, staging)
    except OSError as error:
        raise StorageFullError(f"the report could not be written to {folder}: {error}") from error
    return Written(document, bundle, digest, signer is not None)


def _own_files(
    report: Report, proved: Sequence[ProvedEvent], signer: DocumentSigner | None, name: str
) -> Iterator[tuple[str, bytes]]:
    is_full = report.edition == "full"
    for one in proved:
        checkpoint = None if one.checkpoint is None else f"checkpoints/{one.checkpoint.size}.txt"
        content = one.to_json(with_private=is_full, checkpoint_path=checkpoint)
        yield event_path(one.event.id, one.event.index), content
    if signer is not None:
        yield "certificates/report-signer.pem", signer.chain_pem().encode()
    yield VERIFIER, (package_files("audit.reports") / VERIFIER).read_bytes()
    yield "report-schema.json", schema_text().encode()
    private = " and private part" if is_full else "; the private part is left out"
    values = {"id": report.id, "edition": report.edition, "made_at": report.made_at}
    yield "README.txt", _README.format(**values, private=private, name=name).encode()


def _signed(checkpoint: Checkpoint, staging: Staging) -> SignedCheckpoint:
    path = staging.add(f"checkpoints/{checkpoint.size}.txt", checkpoint.note.encode())
    return SignedCheckpoint(size=checkpoint.size, root=checkpoint.root.hex(), path=path)


def _paths(value: Any) -> set[str]:
    """Every text that stands where the report names a file of the bundle."""
    found: set[str] = set()
    if isinstance(value, dict):
        for name in ("path", "thumbnail", "consistency", "certificates_path"):
            if isinstance(value.get(name), str):
                found.add(value[name])
        value = list(value.values())
    if isinstance(value, list):
        found = found.union(*(_paths(one) for one in value))
    return found


def _zip(target: Path, report: Report, own: Mapping[str, bytes], staged: Iterable[str], staging: Staging) -> None:
    moment = report.made_at.timetuple()[:6]
    with zipfile.ZipFile(target, "w") as archive:
        for path in (*own, *staged):
            data = own[path] if path in own else staging.read(path)
            info = zipfile.ZipInfo(path, moment)
            info.external_attr = 0o644 << 16
            is_dense = Path(path).suffix in _STORED_AS_IT_IS
            info.compress_type = zipfile.ZIP_STORED if is_dense else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
