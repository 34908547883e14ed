"""Reading a policy's YAML into plain values, with errors that name line, field and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from safety.errors import PolicyError

STAGES = ("prompt", "image")
ACTIONS = ("annotate", "review", "refuse")
FLAG_ACTIONS = ("annotate", "review")
POLICY_BYTES_LIMIT = 256 * 1024

_IDENTIFIER = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """`action`, `on_flag` and `threshold` of one category, as written."""

    action: str
    on_flag: str = "annotate"
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class ParsedStage:
    """Check ids and category rules of one stage, as written."""

    required_checks: tuple[str, ...] = ()
    optional_checks: tuple[str, ...] = ()
    categories: dict[str, ParsedRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedPolicy:
    """A policy file, as written."""

    id: str
    version: int
    title: str
    stages: dict[str, ParsedStage]


def parse_policy(text: str, source: str, *, always_refused: frozenset[str]) -> ParsedPolicy:
    """Values of the policy in `text`; `source` is named in errors.

    Raises `PolicyError` for anything but a complete policy: unknown, missing or repeated fields, wrong
    types, values out of range, and a rule for a category in `always_refused`.
    """
    return _Reader(source, always_refused).policy(text)


class _Reader:
    """Walks the YAML nodes, which know their lines; values are built only where a field expects them."""

    def __init__(self, source: str, always_refused: frozenset[str]) -> None:
        self._source = source
        self._always_refused = always_refused

    def policy(self, text: str) -> ParsedPolicy:
        if len(text.encode("utf-8", "replace")) > POLICY_BYTES_LIMIT:
            raise PolicyError(f"{self._source}: longer than {POLICY_BYTES_LIMIT} bytes; a policy is a small file")
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise PolicyError(f"{self._source}: aliases (*name) are not allowed; write the value out")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise PolicyError(f"{self._source}: not readable as YAML: {error}") from error
        if root is None:
            raise PolicyError(f"{self._source}: empty, expected a mapping with id, version, prompt and image")
        known = ("id", "version", "title", *STAGES)
        fields = self._fields(root, "policy", known, required=known)
        return ParsedPolicy(
            id=self._pattern(fields["id"], "id", _IDENTIFIER, "a lower-case name such as newsroom"),
            version=self._version(fields["version"]),
            title=self._title(fields["title"]),
            stages={name: self._stage(fields[name], name) for name in STAGES},
        )

    def _stage(self, node: yaml.Node, name: str) -> ParsedStage:
        known = ("required_checks", "optional_checks", "categories")
        fields = self._fields(node, name, known, required=("required_checks", "categories"))
        required = self._check_ids(fields["required_checks"], f"{name}.required_checks")
        optional: tuple[str, ...] = ()
        if "optional_checks" in fields:
            optional = self._check_ids(fields["optional_checks"], f"{name}.optional_checks")
            if both := sorted(set(required) & set(optional)):
                self._fail(fields["optional_checks"], f"{name}.optional_checks", f"{both} not to be required too")
        where = f"{name}.categories"
        rules = {
            category: self._rule(key, value, f"{where}.{category}")
            for category, (key, value) in self._entries(fields["categories"], where).items()
        }
        return ParsedStage(required, optional, rules)

    def _rule(self, key: yaml.Node, node: yaml.Node, where: str) -> ParsedRule:
        category = where.rsplit(".", 1)[-1]
        if not _CATEGORY.fullmatch(category):
            self._fail(key, where, "a category in lower case with underscores, such as self_harm")
        if category in self._always_refused:
            self._fail(key, where, "no rule: this category is always refused, a policy cannot change that")
        fields = self._fields(node, where, ("action", "on_flag", "threshold"), required=("action",))
        on_flag, threshold = "annotate", None
        if "on_flag" in fields:
            on_flag = self._one_of(fields["on_flag"], f"{where}.on_flag", FLAG_ACTIONS)
        if "threshold" in fields:
            threshold = self._threshold(fields["threshold"], f"{where}.threshold")
        return ParsedRule(self._one_of(fields["action"], f"{where}.action", ACTIONS), on_flag, threshold)

    def _version(self, node: yaml.Node) -> int:
        text = self._scalar(node, "version", "a whole number from 1")
        if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
            self._fail(node, "version", f"a whole number from 1, got {text!r}")
        return int(text)

    def _title(self, node: yaml.Node) -> str:
        text = self._scalar(node, "title", "one line of text").strip()
        if not text or len(text) > 200 or "\n" in text:
            self._fail(node, "title", "one line of 1 to 200 characters")
        return text

    def _threshold(self, node: yaml.Node, where: str) -> float:
        expected = "a number above 0 and at most 1"
        text = self._scalar(node, where, expected)
        if not re.fullmatch(r"[0-9]{0,2}\.?[0-9]{1,9}", text) or not 0.0 < float(text) <= 1.0:
            self._fail(node, where, f"{expected}, got {text!r}")
        return float(text)

    def _one_of(self, node: yaml.Node, where: str, allowed: tuple[str, ...]) -> str:
        expected = "one of " + ", ".join(allowed)
        text = self._scalar(node, where, expected)
        if text not in allowed:
            self._fail(node, where, f"{expected}, got {text!r}")
        return text

    def _pattern(self, node: yaml.Node, where: str, pattern: re.Pattern[str], expected: str) -> str:
        text = self._scalar(node, where, expected)
        if not pattern.fullmatch(text):
            self._fail(node, where, f"{expected}, got {text!r}")
        return text

    def _check_ids(self, node: yaml.Node, where: str) -> tuple[str, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, where, "a list of check ids, such as [image.quality]")
        ids = [self._pattern(item, where, _IDENTIFIER, "a check id such as image.quality") for item in node.value]
        if len(set(ids)) != len(ids):
            self._fail(node, where, "each check id once")
        return tuple(ids)

    def _fields(
        self, node: yaml.Node, where: str, known: tuple[str, ...], required: tuple[str, ...]
    ) -> dict[str, yaml.Node]:
        entries = self._entries(node, where)
        for name, (key, _) in entries.items():
            if name not in known:
                self._fail(key, f"{where}.{name}", "one of the fields " + ", ".join(known))
        if missing := [name for name in required if name not in entries]:
            self._fail(node, where, "the field(s) " + ", ".join(missing) + ", which are missing")
        return {name: value for name, (_, value) in entries.items()}

    def _entries(self, node: yaml.Node, where: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in self._pairs(node, where):
            name = self._scalar(key, where, "a field name")
            if name in entries:
                self._fail(key, f"{where}.{name}", "each field once; it is repeated")
            entries[name] = (key, value)
        return entries

    def _pairs(self, node: yaml.Node, where: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, where, "a mapping (field: value)")
        yield from node.value

    def _scalar(self, node: yaml.Node, where: str, expected: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._fail(node, where, expected)
        return str(node.value)

    def _fail(self, node: yaml.Node, where: str, expected: str) -> NoReturn:
        line = node.start_mark.line + 1
        raise PolicyError(f"{self._source}, line {line}, field {where}: expected {expected}")
