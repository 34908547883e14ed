"""YAML nodes read one field at a time, with errors that name line, field and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import yaml

from safety.errors import PolicyError

POLICY_BYTES_LIMIT = 256 * 1024


class NodeReader:
    """Walks YAML nodes, which know their lines; values are built only where a field expects them."""

    def __init__(self, source: str) -> None:
        self.source = source

    def compose(self, text: str) -> yaml.Node:
        """The root node. Raises `PolicyError` for what is no YAML, empty, too long, or has aliases."""
        if len(text.encode("utf-8", "replace")) > POLICY_BYTES_LIMIT:
            raise PolicyError(f"{self.source}: longer than {POLICY_BYTES_LIMIT} bytes; a policy is a small file")
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise PolicyError(f"{self.source}: aliases (*name) are not allowed; write the value out")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise PolicyError(f"{self.source}: not readable as YAML: {error}") from error
        if root is None:
            raise PolicyError(f"{self.source}: empty, expected a mapping with id, version, prompt and image")
        return root

    def fields(
        self, node: yaml.Node, where: str, known: tuple[str, ...], required: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        """Values of a mapping by field; every field is `known`, all `required` are there, none is repeated."""
        entries = self.entries(node, where)
        for name, (key, _) in entries.items():
            if name not in known:
                self.fail(key, f"{where}.{name}", "one of the fields " + ", ".join(known))
        if missing := [name for name in required if name not in entries]:
            self.fail(node, where, "the field(s) " + ", ".join(missing) + ", which are missing")
        return {name: value for name, (_, value) in entries.items()}

    def entries(self, node: yaml.Node, where: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key and value of a mapping's entries by name; none is repeated."""
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in self._pairs(node, where):
            name = self.scalar(key, where, "a field name")
            if name in entries:
                self.fail(key, f"{where}.{name}", "each field once; it is repeated")
            entries[name] = (key, value)
        return entries

    def one_of(self, node: yaml.Node, where: str, allowed: tuple[str, ...]) -> str:
        """One of the words that are allowed."""
        expected = "one of " + ", ".join(allowed)
        text = self.scalar(node, where, expected)
        if text not in allowed:
            self.fail(node, where, f"{expected}, got {text!r}")
        return text

    def matching(self, node: yaml.Node, where: str, pattern: re.Pattern[str], expected: str) -> str:
        """A word of a form."""
        text = self.scalar(node, where, expected)
        if not pattern.fullmatch(text):
            self.fail(node, where, f"{expected}, got {text!r}")
        return text

    def words(self, node: yaml.Node, where: str, pattern: re.Pattern[str], each: str) -> tuple[str, ...]:
        """A list of words of a form, none repeated."""
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, where, f"a list, each {each}")
        words = [self.matching(item, where, pattern, each) for item in node.value]
        if len(set(words)) != len(words):
            self.fail(node, where, "each entry once")
        return tuple(words)

    def scalar(self, node: yaml.Node, where: str, expected: str) -> str:
        """The text of a plain value."""
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, where, expected)
        return str(node.value)

    def fail(self, node: yaml.Node, where: str, expected: str) -> NoReturn:
        """Raise `PolicyError` at the node's line."""
        raise PolicyError(f"{self.source}, line {line_of(node)}, field {where}: expected {expected}")

    def _pairs(self, node: yaml.Node, where: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, where, "a mapping (field: value)")
        yield from node.value


def line_of(node: yaml.Node) -> int:
    """The line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1
