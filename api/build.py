"""Which build this is: version, commit, the packages that it depends on, and a digest over its own source files."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "imprimatur"
PACKAGES = ("api", "audit", "generator", "provenance", "safety")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What can be said of the running program.

    commit: of the source that was installed, None where it did not come from version control. source_digest:
    SHA-256, hexadecimal, over the path and content of every source file. packages: name and version of what the
    program directly depends on and is installed.
    """

    version: str
    commit: str | None
    source_digest: str
    python: str
    packages: tuple[tuple[str, str], ...]


@functools.cache
def build_facts() -> BuildFacts:
    """The facts, found once a process: reading all source files takes some tens of milliseconds."""
    distribution = metadata.distribution(DISTRIBUTION)
    return BuildFacts(
        version=distribution.version,
        commit=commit(),
        source_digest=_source_digest(Path(__file__).resolve().parents[1]),
        python=platform.python_version(),
        packages=_dependencies(distribution),
    )


@functools.cache
def build_name() -> str:
    """Version and commit on one line, as events name them: `0.1.0 (commit 0123456789ab)`."""
    found = commit()
    return f"{metadata.version(DISTRIBUTION)} (commit {found[:12] if found else 'not known'})"


@functools.cache
def commit() -> str | None:
    """The commit that was installed: from the installer's record (PEP 610), else from the checkout in use."""
    recorded = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    document = json.loads(recorded) if recorded else {}
    installed = document.get("vcs_info", {}).get("commit_id")
    return installed or _head(Path(__file__).resolve().parents[1] / ".git")


def _head(folder: Path) -> str | None:
    """The commit that a checkout's HEAD names, read from its files; None where there is no checkout."""
    try:
        if folder.is_file():  # a worktree
            folder = (folder.parent / folder.read_text("utf-8").removeprefix("gitdir:").strip()).resolve()
        text = (folder / "HEAD").read_text("utf-8").strip()
        if text.startswith("ref: "):
            text = _resolve(folder, text.removeprefix("ref: "))
    except (OSError, UnicodeDecodeError):
        return None
    return text if _COMMIT.fullmatch(text) else None


def _resolve(folder: Path, reference: str) -> str:
    shared = folder / "commondir"
    common = (folder / shared.read_text("utf-8").strip()).resolve() if shared.is_file() else folder
    for home in (folder, common):
        if (home / reference).is_file():
            return (home / reference).read_text("utf-8").strip()
    packed = common / "packed-refs"
    lines = packed.read_text("utf-8").splitlines() if packed.is_file() else []
    return next((line.split(" ", 1)[0] for line in lines if line.endswith(f" {reference}")), "")


def _source_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _dependencies(distribution: metadata.Distribution) -> tuple[tuple[str, str], ...]:
    found = {}
    for requirement in distribution.requires or ():
        match = _NAME.match(requirement)
        if match is None:
            continue
        try:
            found[match[0]] = metadata.version(match[0])
        except metadata.PackageNotFoundError:  # an extra that is not installed
            continue
    return tuple(sorted(found.items()))
