"""What a file's metadata says about how the picture was made. Anyone can write or remove it: evidence, no proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from provenance import xmp
from provenance.containers import MetadataBlock, metadata_blocks
from provenance.exif import read_texts
from provenance.printable import printable
from provenance.vocabulary import (
    CAPTURE_SOURCE_TERMS,
    GENERATED_SOURCE_TERMS,
    PARTLY_GENERATED_SOURCE_TERMS,
    source_term,
)

EvidenceKind = Literal["digital_source_type", "ai_system", "aigc_label", "generation_parameters", "software"]
Indication = Literal["generated", "partly_generated", "capture", "unspecified"]

# Keys under which image generators leave their settings in PNG text.
PARAMETER_KEYS: Final = frozenset(
    {
        "dream",
        "fooocus_scheme",
        "generation_data",
        "invokeai_metadata",
        "parameters",
        "prompt",
        "sd-metadata",
        "workflow",
    }
)
_PARAMETER_WORDS: Final = ("Steps:", "Sampler:", "CFG scale:", '"sampler"', '"steps"', "Negative prompt:")
_GENERATOR_NAMES: Final = (
    "novelai", "stable diffusion", "midjourney", "dall-e", "dall·e", "firefly", "comfyui", "imagen", "flux",
)  # fmt: skip
_AI_PROPERTIES: Final = ("AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName")


@dataclass(frozen=True)
class MetadataEvidence:
    """One entry that bears on the picture's making; `where` and `name` locate it, `value` is printable text."""

    kind: EvidenceKind
    where: Literal["xmp", "exif", "text"]
    name: str
    value: str
    indicates: Indication


@dataclass(frozen=True)
class MetadataReport:
    """All evidence in document order; `unique_id` is an id in our own form of disclosure (a claim, check it).

    problems: blocks that could not be read, in words.
    """

    evidence: tuple[MetadataEvidence, ...] = ()
    unique_id: str | None = None
    problems: tuple[str, ...] = ()


def read_disclosure(image: bytes) -> MetadataReport:
    """Evidence in the metadata of a PNG, JPEG, WebP, AVIF or TIFF file. Never raises for what is in the file."""
    evidence: list[MetadataEvidence] = []
    problems: list[str] = []
    unique_id: str | None = None
    for block in metadata_blocks(image):
        if block.kind == "xmp":
            try:
                properties = xmp.properties(block.data)
            except xmp.UnreadablePacketError as error:
                problems.append(printable(f"XMP not read: {error}"))
                continue
            evidence += _from_xmp(properties)
            unique_id = unique_id or _own_id(properties)
        elif block.kind == "text":
            evidence += _from_text(block.key, _decoded(block.data))
        else:
            evidence += _from_exif(block)
    return MetadataReport(tuple(evidence), unique_id, tuple(problems))


def _from_xmp(properties: xmp.Properties) -> Iterator[MetadataEvidence]:
    for value in properties.get((xmp.IPTC_EXTENSION, "DigitalSourceType"), []):
        yield MetadataEvidence(
            "digital_source_type", "xmp", "Iptc4xmpExt:DigitalSourceType", printable(value), _indication(value)
        )
    for name in _AI_PROPERTIES:
        for value in properties.get((xmp.IPTC_EXTENSION, name), []):
            yield MetadataEvidence("ai_system", "xmp", f"Iptc4xmpExt:{name}", printable(value), "unspecified")
    for value in properties.get((xmp.AIGC, "AIGC"), []):
        yield _aigc("xmp", "TC260:AIGC", value)
    for value in properties.get((xmp.XMP, "CreatorTool"), []):
        if _names_a_generator(value):
            yield MetadataEvidence("software", "xmp", "xmp:CreatorTool", printable(value), "unspecified")


def _from_text(key: str, text: str) -> Iterator[MetadataEvidence]:
    lower = key.lower()
    if lower == "aigc":
        yield _aigc("text", printable(key), text)
    elif lower in PARAMETER_KEYS or (lower in {"comment", "description"} and _reads_like_parameters(text)):
        yield MetadataEvidence("generation_parameters", "text", printable(key), printable(text), "generated")
    elif lower in {"software", "source"} and _names_a_generator(text):
        yield MetadataEvidence("software", "text", printable(key), printable(text), "unspecified")


def _from_exif(block: MetadataBlock) -> Iterator[MetadataEvidence]:
    texts = read_texts(block.data)
    if texts.software is not None and _names_a_generator(texts.software):
        yield MetadataEvidence("software", "exif", "Software", printable(texts.software), "unspecified")
    if texts.user_comment is not None and _reads_like_parameters(texts.user_comment):
        yield MetadataEvidence(
            "generation_parameters", "exif", "UserComment", printable(texts.user_comment), "generated"
        )


def _aigc(where: Literal["xmp", "text"], name: str, value: str) -> MetadataEvidence:
    """The label's value decides: 1 is generated, 2 and 3 only that it may be (GB 45438-2025)."""
    try:
        label = json.loads(value)
    except (ValueError, RecursionError):
        label = None
    indicates: Indication = "unspecified"
    if isinstance(label, dict) and str(label.get("Label")) == "1":
        indicates = "generated"
    return MetadataEvidence("aigc_label", where, name, printable(value), indicates)


def _own_id(properties: xmp.Properties) -> str | None:
    if (xmp.AIGC, "AIGC") not in properties:
        return None
    return next((printable(value) for value in properties.get((xmp.DC, "identifier"), [])), None)


def _indication(uri: str) -> Indication:
    term = source_term(uri)
    if term in GENERATED_SOURCE_TERMS:
        return "generated"
    if term in PARTLY_GENERATED_SOURCE_TERMS:
        return "partly_generated"
    return "capture" if term in CAPTURE_SOURCE_TERMS else "unspecified"


def _reads_like_parameters(text: str) -> bool:
    return sum(word in text for word in _PARAMETER_WORDS) >= 2


def _names_a_generator(text: str) -> bool:
    lower = text.lower()
    return any(name in lower for name in _GENERATOR_NAMES)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
