"""What is put aside while a person decides, and taken up again later, perhaps by another process."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from api.errors import ServiceError
from audit import records
from generator.canvas import Extension
from generator.request import GenerationRequest
from provenance.ingredients import Ingredient

FORMAT = 1

_FILES = ("image", "mask")
"""What a request has as pixels; they are kept as the files that came."""


class DraftError(ServiceError):
    """What was put aside cannot be read; another version of the service may have written it."""

    code = "draft_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """What the record of a release says that is known before the image is signed."""

    task: str
    width: int
    height: int
    origin: str
    inputs: tuple[records.Input, ...]
    decision: records.Decision
    policy: records.Policy
    findings: tuple[records.Finding, ...]
    model: records.Model
    sampling: records.Sampling
    watermark: records.Watermark | None
    nearest_reference: records.NearestReference | None
    prompt: records.VaultReference
    actor: records.VaultReference
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An examined image, encoded and not signed, with everything that its release still needs."""

    encoded: bytes = field(repr=False)
    image_format: str
    ingredients: tuple[Ingredient, ...]
    facts: ReleaseFacts
    disclosed_prompt: str | None = field(default=None, repr=False)

    def to_bytes(self) -> bytes:
        """This draft as JSON."""
        from pydantic import TypeAdapter

        return _dumped(
            "draft",
            {
                "encoded": _text(self.encoded),
                "image_format": self.image_format,
                "ingredients": [_ingredient_document(one) for one in self.ingredients],
                "facts": TypeAdapter(ReleaseFacts).dump_python(self.facts, mode="json"),
                "disclosed_prompt": self.disclosed_prompt,
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Draft:
        """The draft of which `data` is the `to_bytes`. Raises `DraftError`."""
        from pydantic import TypeAdapter, ValidationError

        document = _loaded("draft", data)
        try:
            return cls(
                encoded=_bytes(document["encoded"]),
                image_format=document["image_format"],
                ingredients=tuple(_ingredient(one) for one in document["ingredients"]),
                facts=TypeAdapter(ReleaseFacts).validate_python(document["facts"]),
                disclosed_prompt=document["disclosed_prompt"],
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise _unreadable(error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequest:
    """A request that waits for a person before anything is generated: what it takes to run it as it was asked for.

    `request` has every choice that was drawn or defaulted; `image` and `mask` are the files that came with it.
    `findings` are those of its prompt.
    """

    request: GenerationRequest
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    disclose_prompt: bool = False
    image_format: str
    model_digest: str
    tenant: str
    subject: str
    findings: tuple[records.Finding, ...]
    prompt: records.VaultReference
    actor: records.VaultReference

    def to_bytes(self) -> bytes:
        """This request as JSON."""
        from pydantic import TypeAdapter

        values: dict[str, Any] = {
            one.name: getattr(self.request, one.name)
            for one in dataclasses.fields(self.request)
            if one.name not in _FILES
        }
        if self.request.extend is not None:
            values["extend"] = dataclasses.asdict(self.request.extend)
        return _dumped(
            "request",
            {
                "request": values,
                "files": {name: None if file is None else _text(file) for name, file in self._files()},
                "disclose_prompt": self.disclose_prompt,
                "image_format": self.image_format,
                "model_digest": self.model_digest,
                "tenant": self.tenant,
                "subject": self.subject,
                "findings": TypeAdapter(tuple[records.Finding, ...]).dump_python(self.findings, mode="json"),
                "prompt": dataclasses.asdict(self.prompt),
                "actor": dataclasses.asdict(self.actor),
            },
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> HeldRequest:
        """The request of which `data` is the `to_bytes`. Raises `DraftError`."""
        from pydantic import TypeAdapter, ValidationError

        document = _loaded("request", data)
        try:
            values = dict(document["request"])
            values["extend"] = None if values["extend"] is None else Extension(**values["extend"])
            files = {name: None if text is None else _bytes(text) for name, text in document["files"].items()}
            return cls(
                request=GenerationRequest(**values),
                image=files["image"],
                mask=files["mask"],
                disclose_prompt=bool(document["disclose_prompt"]),
                image_format=document["image_format"],
                model_digest=document["model_digest"],
                tenant=document["tenant"],
                subject=document["subject"],
                findings=TypeAdapter(tuple[records.Finding, ...]).validate_python(document["findings"]),
                prompt=records.VaultReference(**document["prompt"]),
                actor=records.VaultReference(**document["actor"]),
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise _unreadable(error) from error

    def _files(self) -> list[tuple[str, bytes | None]]:
        return [("image", self.image), ("mask", self.mask)]


def _ingredient_document(ingredient: Ingredient) -> dict[str, Any]:
    thumbnail = ingredient.thumbnail_jpeg
    return {
        "data": _text(ingredient.data),
        "media_type": ingredient.media_type,
        "relationship": ingredient.relationship,
        "title": ingredient.title,
        "thumbnail_jpeg": None if thumbnail is None else _text(thumbnail),
    }


def _ingredient(document: dict[str, Any]) -> Ingredient:
    thumbnail = document["thumbnail_jpeg"]
    return Ingredient(
        data=_bytes(document["data"]),
        media_type=document["media_type"],
        relationship=document["relationship"],
        title=document["title"],
        thumbnail_jpeg=None if thumbnail is None else _bytes(thumbnail),
    )


def _dumped(kind: str, content: dict[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT, "kind": kind, **content}, allow_nan=False).encode()


def _loaded(kind: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _unreadable(error) from error
    if not isinstance(document, dict) or (document.get("format"), document.get("kind")) != (FORMAT, kind):
        raise _unreadable(ValueError(f"expected a {kind} of format {FORMAT}"))
    return document


def _unreadable(error: Exception) -> DraftError:
    return DraftError(f"what was put aside for review cannot be read: {error}; reject it, and ask for it again")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
