"""Term files: the data of the rules, and how it is read."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from safety.errors import CheckConfigurationError
from safety.findings import Outcome

SHIPPED_FILES = ("minors", "sexual", "harm", "making", "figures", "artists", "characters")
"""In this order: a file may use the lists of those before it."""

_NOT_WORD = re.compile(r"[\W_]+")
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])"
)
"""Scripts that write words without spaces, or with endings attached (Hangul): each sign is a word of its own."""

_SPELLED_NUMBER = re.compile(r"(?<= )(\d)(?: (\d))(?= (?:\D|$))(?<! \d \d \d)")
_ARABIC_ARTICLE = re.compile(r"(?<= )(?:[وفبكل])?ال(?=[\u0621-\u064a]{3})")
_TATWEEL = "\u0640"
"""Stretches an Arabic word, and means nothing."""

_KANA_MARKS = frozenset("\u3099\u309a")
_PREFIX = "*"
_REFERENCE = "@"


@dataclass(frozen=True, slots=True)
class TermRule:
    """One of `terms` is looked for, beside one of each list of `beside`, and none of `unless`.

    Terms are normalised (`normalise`); one that stands for all words that begin so lacks the space at its
    end. `softened` rules only flag beside fiction.
    """

    id: str
    category: str
    outcome: Outcome
    terms: tuple[str, ...]
    beside: tuple[tuple[str, ...], ...] = ()
    unless: tuple[str, ...] = ()
    softened: bool = False


@dataclass(frozen=True, slots=True)
class TermFile:
    """The rules of one file; `digest` is the SHA-256 (hex) of its bytes.

    Terms within a phrase of `neutral` do not count; a word of `fiction` says that a scene is told. `lists`
    are the named lists that it and files after it may use.
    """

    source: str
    version: int
    rules: tuple[TermRule, ...]
    digest: str
    neutral: tuple[str, ...] = ()
    fiction: tuple[str, ...] = ()
    lists: Mapping[str, tuple[str, ...]] | None = None


def normalise(text: str) -> str:
    """Lower-case words with one space between them and around the whole, so that " term " is a whole word.

    Marks over letters are dropped, and so is the Arabic article; signs of scripts without spaces are words
    of their own; a number whose two digits are spelled apart is joined.
    """
    text = text.casefold()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(
            c for c in decomposed if c in _KANA_MARKS or not (unicodedata.category(c) == "Mn" or c == _TATWEEL)
        )
        text = unicodedata.normalize("NFC", text).translate(_FOLDED)
        text = _UNSPACED.sub(r" \1 ", text)
    text = f" {_NOT_WORD.sub(' ', text).strip()} "
    if not text.isascii():
        text = _ARABIC_ARTICLE.sub("", text)
    return _SPELLED_NUMBER.sub(r"\1\2", text)


_FOLDED = str.maketrans(
    {"أ": "ا", "إ": "ا", "آ": "ا", "ى": "ي", "ة": "ه", "ё": "е", "ς": "σ", "œ": "oe", "æ": "ae", "ø": "o"}
)


def shipped_terms() -> list[TermFile]:
    """The term files that ship with the product."""
    folder = files("safety").joinpath("prompt", "data", "terms")
    found: list[TermFile] = []
    for name in SHIPPED_FILES:
        found.append(parse_terms(folder.joinpath(f"{name}.yaml").read_bytes(), f"{name}.yaml", lists_of(found)))
    return found


def read_terms(path: Path, known: Mapping[str, tuple[str, ...]] | None = None) -> TermFile:
    """An operator's term file. Raises `CheckConfigurationError`."""
    try:
        return parse_terms(path.read_bytes(), path.name, known)
    except OSError as error:
        raise CheckConfigurationError(f"{path}: term file cannot be read: {error}") from error


def read_term_folder(folder: Path) -> list[TermFile]:
    """All `*.yaml` of an operator's folder, by name. Raises `CheckConfigurationError`."""
    if not folder.is_dir():
        raise CheckConfigurationError(f"{folder}: no folder; expected one with term files (*.yaml)")
    shipped = shipped_terms()
    found: list[TermFile] = []
    for path in sorted(folder.glob("*.yaml")):
        found.append(read_terms(path, lists_of([*shipped, *found])))
    return found


def lists_of(term_files: Iterable[TermFile]) -> dict[str, tuple[str, ...]]:
    """The named lists of all `term_files`."""
    return {name: terms for term_file in term_files for name, terms in (term_file.lists or {}).items()}


def parse_terms(content: bytes, source: str, known: Mapping[str, tuple[str, ...]] | None = None) -> TermFile:
    """Rules in the YAML `content`, which may use the lists in `known`.

    Raises `CheckConfigurationError`, naming the rule and what was expected.
    """
    try:
        document: Any = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise CheckConfigurationError(f"{source}: not readable as YAML: {error}") from error
    return _Reader(source, dict(known or {})).file(document, hashlib.sha256(content).hexdigest())


_FILE_FIELDS = {"version", "updated", "sources", "lists", "neutral", "fiction", "rules"}
_RULE_FIELDS = {"id", "category", "outcome", "terms", "beside", "unless", "softened"}


class _Reader:
    def __init__(self, source: str, lists: dict[str, tuple[str, ...]]) -> None:
        self._source = source
        self._lists = lists

    def file(self, document: Any, digest: str) -> TermFile:
        if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
            raise self._error("", "a mapping with version, updated, sources and rules (a list)")
        if unknown := sorted(map(str, set(document) - _FILE_FIELDS)):
            raise self._error("", f"the fields {', '.join(sorted(_FILE_FIELDS))}; got {', '.join(unknown)}")
        version = document.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise self._error("version", f"a whole number from 1, got {version!r}")
        if not isinstance(document.get("updated"), date):
            raise self._error("updated", f"a date such as 2026-11-22, got {document.get('updated')!r}")
        sources = document.get("sources")
        if not isinstance(sources, list) or not sources or not all(isinstance(s, str) and s for s in sources):
            raise self._error("sources", "a list of texts that say where the terms come from")
        own = document.get("lists", {})
        if not isinstance(own, dict):
            raise self._error("lists", "a mapping of names to lists of terms")
        for name, value in own.items():
            self._lists[str(name)] = self._terms(value, f"lists.{name}")
        rules = tuple(self._rule(entry) for entry in document["rules"])
        if repeated := _repeated(rule.id for rule in rules):
            raise self._error("rules", f"each id once; {repeated!r} is repeated")
        neutral, fiction = (self._terms(document.get(name, []), name) for name in ("neutral", "fiction"))
        kept = {str(name): self._lists[str(name)] for name in own}
        return TermFile(self._source, version, rules, digest, neutral, fiction, kept)

    def _rule(self, entry: Any) -> TermRule:
        where = f"rule {entry.get('id') if isinstance(entry, dict) else entry!r}"
        required = {"id", "category", "outcome", "terms"}
        if not isinstance(entry, dict) or not required <= set(entry) <= _RULE_FIELDS:
            raise self._error(where, "the fields id, category, outcome, terms (and beside, unless, softened)")
        if not all(isinstance(entry[name], str) and entry[name] for name in ("id", "category")):
            raise self._error(where, "id and category to be text")
        if entry["outcome"] not in (Outcome.FLAG, Outcome.BLOCK):
            raise self._error(where, f"outcome flag or block, got {entry['outcome']!r}")
        softened = entry.get("softened", False)
        if not isinstance(softened, bool):
            raise self._error(where, f"softened to be true or false, got {softened!r}")
        groups = entry.get("beside", [])
        if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
            raise self._error(where, "beside to be a list of lists of terms, one of each of which must be there")
        terms, beside = self._terms(entry["terms"], where), tuple(self._terms(group, where) for group in groups)
        if not all((terms, *beside)):
            raise self._error(where, "at least one term in each list")
        unless = self._terms(entry.get("unless", []), where)
        return TermRule(entry["id"], entry["category"], Outcome(entry["outcome"]), terms, beside, unless, softened)

    def _terms(self, value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(term, str) for term in value):
            raise self._error(where, "a list of texts (quote numbers and yes/no)")
        found: dict[str, None] = {}
        for term in value:
            if term.startswith(_REFERENCE):
                if term[1:] not in self._lists:
                    there_are = ", ".join(sorted(self._lists)) or "none"
                    raise self._error(where, f"the name of a list after @, got {term!r}; there are: {there_are}")
                found |= dict.fromkeys(self._lists[term[1:]])
                continue
            normal = normalise(term.removesuffix(_PREFIX))
            if not normal.strip():
                raise self._error(where, f"terms with letters or digits, got {term!r}")
            found[normal.rstrip() if term.endswith(_PREFIX) else normal] = None
        return tuple(found)

    def _error(self, where: str, expected: str) -> CheckConfigurationError:
        return CheckConfigurationError(f"{self._source}{', ' + where if where else ''}: expected {expected}")


def _repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for rule_id in ids:
        if rule_id in seen:
            return rule_id
        seen.add(rule_id)
    return None
