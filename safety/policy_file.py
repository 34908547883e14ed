"""Reading a policy's YAML into plain values: a complete policy, or one that extends another and only tightens it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from safety.policy_nodes import NodeReader, line_of

STAGES = ("prompt", "image")
ACTIONS = ("annotate", "review", "refuse")
FLAG_ACTIONS = ("annotate", "review")
PERSON_ACTIONS = ("review", "refuse")
DEPICTABLE = ("none", "adults", "public_figures", "anyone")

_IDENTIFIER = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_THRESHOLD = re.compile(r"[0-9]?\.?[0-9]{1,6}")  # as many digits as a record keeps


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """One category's fields, as written; None where nothing is."""

    action: str | None = None
    on_flag: str | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class ParsedStage:
    """Check ids and category rules of one stage, as written."""

    required_checks: tuple[str, ...] = ()
    optional_checks: tuple[str, ...] = ()
    categories: dict[str, ParsedRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedPersons:
    """`persons`, as written."""

    allow: str | None = None
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedLanguages:
    """`languages`, as written."""

    other: str | None = None
    accepted: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ParsedPolicy:
    """A policy file, as written. `lines` has the line of every field that was given, by its path."""

    id: str
    version: int
    title: str
    extends: str | None
    persons: ParsedPersons
    languages: ParsedLanguages
    stages: dict[str, ParsedStage]
    lines: dict[str, int]


def parse_policy(
    text: str, source: str, *, always_refused: frozenset[str], ruled_elsewhere: dict[str, str] | None = None
) -> ParsedPolicy:
    """Values of the policy in `text`; `source` is named in errors.

    `ruled_elsewhere` names categories on which another section rules, and that section.

    Raises `PolicyError` for anything but a complete policy, or one with `extends`: unknown, missing or
    repeated fields, wrong types, values out of range, and a rule for a category that can have none.
    """
    return _PolicyReader(source, always_refused, ruled_elsewhere or {}).policy(text)


class _PolicyReader(NodeReader):
    """Reads one file. A file with `extends` may leave out whatever it does not tighten."""

    def __init__(self, source: str, always_refused: frozenset[str], ruled_elsewhere: dict[str, str]) -> None:
        super().__init__(source)
        self._always_refused = always_refused
        self._ruled_elsewhere = ruled_elsewhere
        self._complete = True
        self._lines: dict[str, int] = {}

    def policy(self, text: str) -> ParsedPolicy:
        root = self.compose(text)
        identity = ("id", "version", "title")
        sections = ("persons", "languages", *STAGES)
        known = (*identity, "extends", *sections)
        self._complete = "extends" not in self.entries(root, "policy")
        fields = self.fields(root, "policy", known, required=(*identity, *sections) if self._complete else identity)
        return ParsedPolicy(
            id=self.matching(fields["id"], "id", _IDENTIFIER, "a lower-case name such as newsroom"),
            version=self._version(fields["version"]),
            title=self._title(fields["title"]),
            extends=None if self._complete else self._extends(fields["extends"]),
            persons=self._persons(fields["persons"]) if "persons" in fields else ParsedPersons(),
            languages=self._languages(fields["languages"]) if "languages" in fields else ParsedLanguages(),
            stages={name: self._stage(fields[name], name) if name in fields else ParsedStage() for name in STAGES},
            lines=self._lines,
        )

    def _extends(self, node: yaml.Node) -> str:
        self._lines["extends"] = line_of(node)
        return self.matching(node, "extends", _IDENTIFIER, "the name of a policy, such as newsroom or house")

    def _persons(self, node: yaml.Node) -> ParsedPersons:
        fields = self._section(node, "persons", ("allow", "otherwise"), required=("allow",))
        return ParsedPersons(
            allow=self._word(fields, "persons", "allow", DEPICTABLE),
            otherwise=self._word(fields, "persons", "otherwise", PERSON_ACTIONS),
        )

    def _languages(self, node: yaml.Node) -> ParsedLanguages:
        fields = self._section(node, "languages", ("other", "accepted"), required=("other",))
        accepted = None
        if "accepted" in fields:
            accepted = self.words(fields["accepted"], "languages.accepted", _LANGUAGE, "an ISO 639-1 code such as en")
            if not accepted:
                self.fail(fields["accepted"], "languages.accepted", "at least one language")
        return ParsedLanguages(self._word(fields, "languages", "other", ACTIONS), accepted)

    def _stage(self, node: yaml.Node, name: str) -> ParsedStage:
        known = ("required_checks", "optional_checks", "categories")
        fields = self._section(node, name, known, required=("required_checks", "categories"))
        required, optional = (self._checks(fields, name, kind) for kind in known[:2])
        if both := sorted(set(required) & set(optional)):
            self.fail(fields["optional_checks"], f"{name}.optional_checks", f"{both} not to be required too")
        rules = {}
        if "categories" in fields:
            where = f"{name}.categories"
            rules = {
                category: self._rule(key, value, category, f"{where}.{category}")
                for category, (key, value) in self.entries(fields["categories"], where).items()
            }
        return ParsedStage(required, optional, rules)

    def _checks(self, fields: dict[str, yaml.Node], stage: str, kind: str) -> tuple[str, ...]:
        if kind not in fields:
            return ()
        return self.words(fields[kind], f"{stage}.{kind}", _IDENTIFIER, "a check id such as image.quality")

    def _rule(self, key: yaml.Node, node: yaml.Node, category: str, where: str) -> ParsedRule:
        if not _CATEGORY.fullmatch(category):
            self.fail(key, where, "a category in lower case with underscores, such as self_harm")
        if category in self._always_refused:
            self.fail(key, where, "no rule: this category is always refused, a policy cannot change that")
        if section := self._ruled_elsewhere.get(category):
            self.fail(key, where, f"no rule: the section {section} rules on this category")
        fields = self._section(node, where, ("action", "on_flag", "threshold"), required=("action",))
        threshold = self._threshold(fields["threshold"], f"{where}.threshold") if "threshold" in fields else None
        return ParsedRule(
            action=self._word(fields, where, "action", ACTIONS),
            on_flag=self._word(fields, where, "on_flag", FLAG_ACTIONS),
            threshold=threshold,
        )

    def _section(
        self, node: yaml.Node, where: str, known: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, yaml.Node]:
        """Fields of a section, with their lines kept; what is required need not stand in a file with `extends`."""
        fields = self.fields(node, where, known, required=required if self._complete else ())
        self._lines |= {f"{where}.{name}": line_of(value) for name, value in fields.items()}
        return fields

    def _word(self, fields: dict[str, yaml.Node], where: str, name: str, allowed: tuple[str, ...]) -> str | None:
        return self.one_of(fields[name], f"{where}.{name}", allowed) if name in fields else None

    def _version(self, node: yaml.Node) -> int:
        text = self.scalar(node, "version", "a whole number from 1")
        if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
            self.fail(node, "version", f"a whole number from 1, got {text!r}")
        return int(text)

    def _title(self, node: yaml.Node) -> str:
        text = self.scalar(node, "title", "one line of text").strip()
        if not text or len(text) > 200 or "\n" in text:
            self.fail(node, "title", "one line of 1 to 200 characters")
        return text

    def _threshold(self, node: yaml.Node, where: str) -> float:
        expected = "a number above 0 and at most 1"
        text = self.scalar(node, where, expected)
        if not _THRESHOLD.fullmatch(text) or not 0.0 < float(text) <= 1.0:
            self.fail(node, where, f"{expected}, got {text!r}")
        return float(text)
