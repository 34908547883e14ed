"""Term files: the data of the rules, and how it is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from safety.errors import CheckConfigurationError
from safety.findings import Outcome

_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class TermRule:
    """Terms that say the same thing, normalised (`normalise`); `softened` rules only flag beside fiction."""

    id: str
    category: str
    outcome: Outcome
    terms: tuple[str, ...]
    softened: bool = False


@dataclass(frozen=True, slots=True)
class TermFile:
    """The rules of one file; `digest` is the SHA-256 (hex) of its bytes.

    Terms within a phrase of `neutral` do not count; a word of `fiction` says that a scene is told.
    """

    source: str
    version: int
    rules: tuple[TermRule, ...]
    digest: str
    neutral: tuple[str, ...] = ()
    fiction: tuple[str, ...] = ()


def normalise(text: str) -> str:
    """Lower-case words with one space between them and around the whole, so that " term " is a whole word."""
    return f" {_NOT_WORD.sub(' ', text.casefold()).strip()} "


def shipped_terms() -> TermFile:
    """The terms that ship with the product."""
    content = files("safety").joinpath("prompt", "data", "terms.yaml").read_bytes()
    return parse_terms(content, "terms.yaml")


def read_terms(path: Path) -> TermFile:
    """An operator's term file. Raises `CheckConfigurationError`."""
    try:
        return parse_terms(path.read_bytes(), str(path))
    except OSError as error:
        raise CheckConfigurationError(f"{path}: term file cannot be read: {error}") from error


def parse_terms(content: bytes, source: str) -> TermFile:
    """Rules in the YAML `content`. Raises `CheckConfigurationError`, naming the rule and what was expected."""
    try:
        document: Any = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CheckConfigurationError(f"{source}: not readable as YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
        raise CheckConfigurationError(f"{source}: expected a mapping with version and rules (a list)")
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise CheckConfigurationError(f"{source}: expected version to be a whole number from 1, got {version!r}")
    rules = tuple(_rule(entry, source) for entry in document["rules"])
    if repeated := _repeated(rule.id for rule in rules):
        raise CheckConfigurationError(f"{source}: rule id {repeated!r} is repeated; ids are unique")
    neutral, fiction = (_terms(document.get(name, []), f"{source}, {name}") for name in ("neutral", "fiction"))
    return TermFile(source, version, rules, hashlib.sha256(content).hexdigest(), neutral, fiction)


def _rule(entry: Any, source: str) -> TermRule:
    where = f"{source}, rule {entry.get('id') if isinstance(entry, dict) else entry!r}"
    if not isinstance(entry, dict) or set(entry) - {"softened"} != {"id", "category", "outcome", "terms"}:
        raise CheckConfigurationError(f"{where}: expected the fields id, category, outcome, terms (and softened)")
    if not all(isinstance(entry[name], str) and entry[name] for name in ("id", "category")):
        raise CheckConfigurationError(f"{where}: expected id and category to be text")
    if entry["outcome"] not in (Outcome.FLAG, Outcome.BLOCK):
        raise CheckConfigurationError(f"{where}: expected outcome flag or block, got {entry['outcome']!r}")
    softened = entry.get("softened", False)
    if not isinstance(softened, bool):
        raise CheckConfigurationError(f"{where}: expected softened to be true or false, got {softened!r}")
    terms = _terms(entry["terms"], where)
    if not terms:
        raise CheckConfigurationError(f"{where}: expected at least one term")
    return TermRule(entry["id"], entry["category"], Outcome(entry["outcome"]), terms, softened)


def _terms(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(term, str) for term in value):
        raise CheckConfigurationError(f"{where}: expected a list of texts (quote numbers and yes/no)")
    normal = tuple(normalise(term) for term in value)
    if any(not term.strip() for term in normal):
        raise CheckConfigurationError(f"{where}: a term has no letters or digits")
    return normal


def _repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for rule_id in ids:
        if rule_id in seen:
            return rule_id
        seen.add(rule_id)
    return None
