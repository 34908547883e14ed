"""Personal data of a report: opened from the vault all at once, with the salts that show it to be what was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from audit.records import VaultReference
from audit.reports.bundle import Staging
from audit.reports.content import PersonalText
from audit.vault import Disclosure, Vault

_NAMES = ("id", "commitment", "subject_id")


class PersonalData:
    """What the vault still has of the events of a report.

    Args:
        erasures: what `erased` events say, by the vault's id of the subject.
    """

    def __init__(self, vault: Vault, events: Iterable[Mapping[str, Any]], erasures: Mapping[str, str]) -> None:
        references = {reference for fields in events for reference in _references(fields)}
        self._found = vault.disclose(sorted(references, key=lambda reference: reference.id))
        self._erasures = erasures

    def text(
        self, value: object, staging: Staging, *, member: str | None = None, withheld: bool = False
    ) -> PersonalText | None:
        """The text behind an event's field, put into the bundle with its salt; None where there never was one.

        Args:
            value: the field: a vault reference as JSON.
            member: of the JSON object that the text is, as for prompts.
            withheld: do not show it.
        """
        reference = _reference(value)
        if reference is None:
            return None
        found = self._found.get(reference)
        if withheld:
            return PersonalText(state="redacted", commitment=reference.commitment)
        if not isinstance(found, Disclosure):
            erased = self._erasures.get(reference.subject_id)
            return PersonalText(state="erased", commitment=reference.commitment, erased=erased)
        plaintext = found.plaintext.decode()
        shown = plaintext if member is None else json.loads(plaintext).get(member)
        if shown is None or shown == "":
            return None
        document = {
            "id": reference.id,
            "purpose": found.purpose,
            "commitment": reference.commitment,
            "salt": found.salt.hex(),
            "plaintext": plaintext,
        }
        content = (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
        path = staging.add(f"disclosures/{reference.id}.json", content)
        return PersonalText(state="shown", commitment=reference.commitment, text=str(shown), path=path)

    def name(self, value: Mapping[str, Any]) -> str | None:
        """The text behind a reference to a person; None where it is erased."""
        reference = _reference(value)
        found = self._found.get(reference) if reference is not None else None
        return found.plaintext.decode(errors="replace") if isinstance(found, Disclosure) else None


def _references(fields: Mapping[str, Any]) -> Iterable[VaultReference]:
    for value in fields.values():
        reference = _reference(value)
        if reference is not None:
            yield reference


def _reference(value: object) -> VaultReference | None:
    if isinstance(value, Mapping) and set(value) == set(_NAMES) and all(isinstance(value[n], str) for n in _NAMES):
        return VaultReference(**value)
    return None
