#!/usr/bin/env python3
"""Checks a report's bundle offline. Needs Python 3.11 and the package `cryptography`, nothing else.

    python3 verify_bundle.py BUNDLE.zip --log-key origin+keyid+base64 [--tsa-ca ROOT.pem] [--report-sha256 HEX]

Keys come from elsewhere, never from the bundle. Exit code: 0 everything holds, 1 something does not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# One blank line between functions, so that the whole is read on a few pages.
# fmt: off
MAX_FILE_BYTES = 1 << 30
NOT_RECHECKED = (
    ("signature of the time stamp", "--tsa-ca, or openssl ts -verify"),
    ("content credentials of the pictures", "c2patool FILE, or any C2PA validator"),
    ("signature and text of report.pdf", "any PDF reader that checks PAdES; page 1 names report.json's SHA-256"),
    ("words of report.json beyond digests, texts, verdicts, kinds, places and times", "reading the events beside it"),
    ("that everybody sees this same log", "comparing checkpoints and receipts with others who hold some"),
)
SHA2 = {bytes.fromhex("6086480165030402" + end): hash for end, hash in
        (("01", hashes.SHA256()), ("02", hashes.SHA384()), ("03", hashes.SHA512()))}
CONTENT_TYPE, MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010903"), bytes.fromhex("2a864886f70d010904")
TIME_STAMPING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.8")
MALFORMED = (KeyError, ValueError, IndexError, TypeError, AttributeError, RecursionError, x509.ExtensionNotFound)

class ProblemError(Exception):
    """Something does not hold; the text says what."""

def need(holds: Any, text: str) -> None:
    if not holds:
        raise ProblemError(text)

def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

# --- the zip file and its digests ----------------------------------------------------------------------------------
def read_zip(path: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename
            is_link = (info.external_attr >> 28) == 0xA
            outside = "\\" in name or ":" in name or any(part in ("", ".", "..") for part in name.split("/"))
            need(not outside and not is_link, f"path outside the bundle, or a link: {name!r}")
            need(name not in files, f"the name {name} occurs twice")
            need(info.file_size <= MAX_FILE_BYTES, f"{name} is too large")
            files[name] = archive.read(info)
    return files

def check_files(files: dict[str, bytes], listed: list[dict[str, Any]]) -> None:
    for entry in listed:
        need(entry["path"] in files, f"missing file: {entry['path']}")
        found = sha256(files[entry["path"]]).hex()
        need(found == entry["sha256"], f"changed file: {entry['path']} has SHA-256 {found}")
    extra = set(files) - {entry["path"] for entry in listed} - {"report.json", "report.pdf"}
    need(not extra, f"files that report.json does not list: {', '.join(sorted(extra)[:3])}")

# --- Merkle tree (RFC 9162 sections 2.1.3.2 and 2.1.4.2), checkpoints (C2SP signed notes) ---------------------------
def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)

def climb(position: int, last: int, proof: list[str]) -> Iterator[tuple[bytes, bool]]:
    """Each hash of a proof, and whether it stands on the left."""
    for sibling in proof:
        need(last > 0, "the proof has too many hashes")
        on_left = bool(position & 1) or position == last
        yield base64.b64decode(sibling, validate=True), on_left
        while on_left and position and not position & 1:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
    need(last == 0, "the proof has too few hashes")

def check_inclusion(leaf: bytes, index: int, size: int, root: bytes, proof: list[str]) -> None:
    need(0 <= index < size, "its place lies outside the checkpoint's tree")
    running = sha256(b"\x00" + leaf)
    for sibling, on_left in climb(index, size - 1, proof):
        running = node(sibling, running) if on_left else node(running, sibling)
    need(running == root, "leaf, place and proof do not lead to the checkpoint's root")

def check_consistency(old: tuple[int, bytes], new: tuple[int, bytes], data: bytes) -> None:
    proof = json.loads(data)["proof"]
    need(old[0] < new[0], "the sizes are not in order")
    path = proof if old[0] & (old[0] - 1) else [base64.b64encode(old[1]).decode(), *proof]
    position, last = old[0] - 1, new[0] - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    one = two = base64.b64decode(path[0])
    for sibling, on_left in climb(position, last, path[1:]):
        one = node(sibling, one) if on_left else one
        two = node(sibling, two) if on_left else node(two, sibling)
    need(one == old[1] and two == new[1], "the newer tree does not extend the older one")

def parse_key(text: str) -> tuple[str, bytes, Ed25519PublicKey]:
    origin, key_id, encoded = text.strip().split("+", 2)
    data = base64.b64decode(encoded, validate=True)
    if data[:1] != b"\x01" or sha256(origin.encode() + b"\n" + data)[:4].hex() != key_id:
        raise ValueError("expected origin+keyid+base64, and the key id does not fit")
    return origin, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(data[1:])

def parse_certificates(path: str) -> list[x509.Certificate]:
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificates(file.read())

def check_checkpoint(note: bytes, key: tuple[str, bytes, Ed25519PublicKey]) -> tuple[int, bytes]:
    origin, key_id, public = key
    text, _, signatures = note.decode().rpartition("\n\n")
    name, size, root = text.split("\n")[:3]
    need(name == origin, f"it is of log {name!r}, the key that was given is of {origin!r}")
    for line in signatures.splitlines():
        _, signer, encoded = line.split(" ")
        data = base64.b64decode(encoded, validate=True)
        if signer == origin and data[:4] == key_id:
            public.verify(data[4:], (text + "\n").encode())
            return int(size), base64.b64decode(root, validate=True)
    raise ProblemError("it is not signed by the key that was given")

# --- time stamps (RFC 3161 in CMS, RFC 5652) ------------------------------------------------------------------------
Element = tuple[int, bytes, bytes]  # tag, content, whole

def der(data: bytes) -> list[Element]:
    """The DER elements that stand one after another in `data`."""
    found, start = [], 0
    while start < len(data):
        length, body = data[start + 1], start + 2
        if length & 0x80:
            body += length & 0x7F
            length = int.from_bytes(data[start + 2 : body], "big")
        need(body + length <= len(data), "broken DER")
        found.append((data[start], data[body : body + length], data[start : body + length]))
        start = body + length
    return found

def digest(algorithm: Element, data: bytes) -> bytes:
    return hashlib.new(SHA2[der(algorithm[1])[0][1]].name, data).digest()

def check_stamp(answer: bytes, stamped: bytes, anchors: list[x509.Certificate], said: str) -> None:
    """The stamp is of these bytes and this time; signed by an authority under `anchors`, if there are any."""
    parts = der(der(answer)[0][1])
    content_info = parts if parts[0][0] == 0x06 else der(parts[1][1])  # a token, or a whole response
    signed = der(der(content_info[1][1])[0][1])
    content_type, wrapped = der(signed[2][1])
    info_bytes = der(wrapped[1])[0][1]
    info = der(der(info_bytes)[0][1])
    algorithm, imprint = der(info[2][1])
    need(digest(algorithm, stamped) == imprint[1], "the time stamp is of other bytes than the checkpoint")
    time = datetime.strptime(info[4][1].decode()[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    need(said[:19] == f"{time:%Y-%m-%dT%H:%M:%S}", f"it states the time {time}, report.json says {said}")
    if not anchors:
        return
    embedded = [x509.load_der_x509_certificate(one[2]) for part in signed if part[0] == 0xA0 for one in der(part[1])]
    signer = der(der(signed[-1][1])[0][1])
    serial, used = int.from_bytes(der(signer[1][1])[-1][1], "big"), SHA2[der(signer[2][1])[0][1]]
    leaf = next(one for one in [*embedded, *anchors] if one.serial_number == serial)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    need(list(usage) == [TIME_STAMPING], "the certificate that signed the time stamp is not for time stamping")
    need(leaf.not_valid_before_utc <= time <= leaf.not_valid_after_utc, "its certificate was not valid at that time")
    attributes = {der(one[1])[0][1]: der(der(one[1])[1][1])[0][1] for one in der(signer[3][1])}
    need(attributes[MESSAGE_DIGEST] == digest(signer[2], info_bytes), "the time stamp's signed digest does not fit")
    need(attributes[CONTENT_TYPE] == content_type[1], "the time stamp's signed content type does not fit")
    key: Any = leaf.public_key()
    scheme = (padding.PKCS1v15(), used) if isinstance(key, rsa.RSAPublicKey) else (ec.ECDSA(used),)
    key.verify(signer[5][1], b"\x31" + signer[3][2][1:], *scheme)
    issuers = [anchor for anchor in anchors if anchor == leaf or anchor.subject == leaf.issuer]
    need(issuers, "the authority that was given did not issue the time stamp's certificate")
    if leaf not in issuers:
        leaf.verify_directly_issued_by(issuers[0])

# --- events, and what report.json says of them ----------------------------------------------------------------------
def check_event(path: str, data: bytes, checkpoints: dict[str, tuple[int, bytes]]) -> dict[str, Any]:
    """The event with its leaf, body and private part read; raises for what does not fit together."""
    event: dict[str, Any] = json.loads(data)
    need(event["leaf"] is not None, "it has no place in the ledger yet")
    leaf, body = json.loads(event["leaf"]), event["body"].encode()
    committed = sha256(bytes.fromhex(event["salt"]) + body).hex()
    need(committed == leaf["commitment"], "the leaf commits to another body or salt")
    need(leaf["id"] == event["id"] and event["id"] in path, "file name, id and leaf are of different events")
    need(checkpoints.get(event["checkpoint"]), f"its checkpoint {event['checkpoint']} does not hold")
    check_inclusion(event["leaf"].encode(), event["index"], *checkpoints[event["checkpoint"]], event["proof"])
    event.update(time=leaf["time"], body=json.loads(body))
    if event["private"] is not None:
        committed = sha256(bytes.fromhex(event["private_salt"]) + event["private"].encode()).hex()
        need(committed == event["body"]["private"], "the body commits to another private part or salt")
        event["private"] = json.loads(event["private"])
    return event

def check_entries(entries: list[dict[str, Any]], events: dict[str, Any]) -> None:
    for entry in entries:
        need(entry["path"] in events, f"{entry['path']} is missing or does not hold")
        event, said = events[entry["path"]], [entry[name] for name in ("event_id", "kind", "index", "time")]
        need(said == [event["id"], event["body"]["kind"], event["index"], event["time"]], "another kind, place or time")

def check_item(item: dict[str, Any], events: dict[str, Any], files: dict[str, bytes]) -> None:
    check_entries(item["timeline"], events)
    own = {entry["event_id"]: events[entry["path"]] for entry in item["timeline"]}
    bodies = [one["body"] for one in own.values() if one["body"]["record"] == item["record_id"]]
    digests = {body["public"]["image_sha256"] for body in bodies if body["kind"] == "released"}
    need({item["image_sha256"]} - {None} == digests, "the released file has another SHA-256 in the events")
    for verdict in item["verdicts"]:
        private = own[verdict["event_id"]]["private"]
        finding = private["findings"][verdict["position"]] if private else verdict
        names = ("check", "version", "category", "outcome", "score", "threshold")
        need(all(finding[name] == verdict[name] for name in names), f"verdict of {verdict['check']}: not the event's")
    for entry in item["custody"]:
        is_same = not entry["path"] or sha256(files[entry["path"]]).hex() == entry["sha256"]
        need(is_same, f"{entry['path']} is not the recorded object")
    recorded = json.dumps([one["private"] for one in own.values() if one["private"]])
    for text in filter(None, (item["prompt"], item["negative_prompt"], item["actor"])):
        need(recorded == "[]" or text["commitment"] in recorded, "no event commits to a text that is shown")
        if text["path"]:
            shown = json.loads(files[text["path"]])
            data = shown["plaintext"].encode()
            need(sha256(bytes.fromhex(shown["salt"]) + data).hex() == text["commitment"], "a text is not the recorded")
            said = list(json.loads(data).values()) if shown["purpose"] == "prompt" else [shown["plaintext"]]
            need(text["text"] in said, "report.json shows another text than the recorded one")

def check_all(files: dict[str, bytes], options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """What was checked, where, and the problem (empty: it holds)."""
    lines: list[tuple[str, str, str]] = []

    def tried(what: str, where: str, check: Callable[..., Any], *arguments: Any) -> Any:
        result, problem = None, ""
        try:
            result = check(*arguments)
        except ProblemError as error:
            problem = str(error)
        except InvalidSignature:
            problem = "a signature does not fit"
        except MALFORMED as error:
            problem = f"malformed ({type(error).__name__}: {error})"
        lines.append((what, where, problem))
        return result

    found, wanted = sha256(files["report.json"]).hex(), options.report_sha256
    tried("report.json", f"SHA-256 {found}", need, wanted in (None, found), "it is not the one that was given")
    report: dict[str, Any] = json.loads(files["report.json"])
    tried("digests", f"{len(report['files'])} files", check_files, files, report["files"])
    log, stamp, checkpoints, events = report["log"], report["log"]["stamp"], {}, {}
    for path in sorted(path for path in files if path.startswith("checkpoints/") and path.endswith(".txt")):
        checkpoints[path] = tried("checkpoint", path, check_checkpoint, files[path], options.log_key)
    if stamp:
        what, note = "time stamp" if options.tsa_ca else "time stamp, digest only", stamp["checkpoint"]["path"]
        answer, stamped = files.get(stamp["path"], b""), files.get(note, b"")
        tried(what, stamp["path"], check_stamp, answer, stamped, options.tsa_ca, stamp["time"])
    if log["consistency"]:
        states = [checkpoints.get(one["path"]) for one in (stamp["checkpoint"], log["newest"])]
        tried("consistency", log["consistency"], check_consistency, *states, files.get(log["consistency"], b""))
    for path in sorted(path for path in files if path.startswith("events/")):
        if event := tried("event", path, check_event, path, files[path], checkpoints):
            events[path] = event
    tried("administration", f"{len(report['administration'])} acts", check_entries, report["administration"], events)
    for item in report["items"]:
        tried("item", f"{item['number']}, {item['record_id']}", check_item, item, events, files)
    for policy in (policy for policy in report["system"]["policies"] if policy["path"]):
        is_same = sha256(files.get(policy["path"], b"")).hex() == policy["digest"]
        tried("policy", policy["path"], need, is_same, "it is not the policy whose digest the events name")
    return lines

def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="the zip file")
    parser.add_argument("--log-key", required=True, type=parse_key, help="the log's public key, had from elsewhere")
    parser.add_argument("--tsa-ca", type=parse_certificates, default=[], help="PEM: who issued the stamp's certificate")
    parser.add_argument("--report-sha256", help="SHA-256 of report.json, as page 1 of the signed PDF states it")
    options = parser.parse_args()
    try:
        lines = check_all(read_zip(options.bundle), options)
    except (OSError, zipfile.BadZipFile, *MALFORMED, ProblemError) as error:
        lines = [("bundle", options.bundle, f"{type(error).__name__}: {error}")]
    for what, where, problem in lines:
        print(f"{'FAIL' if problem else 'ok  '}  {what:<24} {where}{': ' if problem else ''}{problem}")
    failed = sum(1 for line in lines if line[2])
    print(f"\n{len(lines)} checks, {failed} failed.\n\nNot re-checked here:")
    for what, how in NOT_RECHECKED[bool(options.tsa_ca) :]:
        print(f"  {what}: {how}")
    return 1 if failed else 0

if __name__ == "__main__":
    sys.exit(main())
