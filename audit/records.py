"""Parts that several kinds of events carry. Scores are decimal strings (`audit.canonical.decimal_string`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any


@dataclass(frozen=True)
class Doc:
    """What a field means."""

    text: str


@dataclass(frozen=True)
class VaultReference:
    """Personal data in the vault: the event commits to it and does not hold it."""

    id: Annotated[str, Doc("Vault item, by its random id.")]
    commitment: Annotated[str, Doc("SHA-256(salt ‖ plaintext), hexadecimal; the salt is in the vault and erasable.")]
    subject_id: Annotated[str, Doc("Vault subject whose data it is, by its random id.")]


@dataclass(frozen=True)
class ObjectReference:
    """One encrypted object of the object store."""

    sha256: Annotated[str, Doc("SHA-256 of the plaintext, hexadecimal.")]
    subject_id: Annotated[str, Doc("Vault subject under whose key it is encrypted, by its random id.")]
    size: Annotated[int, Doc("Bytes of the plaintext.")]
    role: Annotated[str, Doc("What it is: `image`, `thumbnail`, `input`, ...")] = "image"


@dataclass(frozen=True)
class Input:
    """A picture that came with a request. It is not kept; a released image's credential may hold a thumbnail of it."""

    role: Annotated[str, Doc("`image` (what was changed) or `mask`.")]
    sha256: Annotated[str, Doc("SHA-256 of the file as it came, hexadecimal.")]
    media_type: Annotated[str, Doc("Media type of that file.")]
    size: Annotated[int, Doc("Bytes of that file.")]
    width: Annotated[int, Doc("Pixels, upright.")]
    height: Annotated[int, Doc("Pixels, upright.")]
    fingerprint: Annotated[str | None, Doc("Fingerprint of the pixels (ISCC Image-Code); masks have none.")] = None


@dataclass(frozen=True)
class Finding:
    """What one check says of one prompt or image."""

    check: Annotated[str, Doc("Check, by its id.")]
    version: Annotated[str, Doc("Version of the check.")]
    category: Annotated[str, Doc("What it looked for.")]
    outcome: Annotated[str, Doc("`pass`, `flag`, `block` or `error`.")]
    score: Annotated[str | None, Doc("Decimal string.")] = None
    threshold: Annotated[str | None, Doc("Decimal string; the score at which the outcome turns.")] = None
    model_digest: Annotated[str | None, Doc("Digest of the check's weights.")] = None
    elapsed_ms: Annotated[str | None, Doc("Milliseconds, decimal string.")] = None
    evidence: Annotated[Mapping[str, Any], Doc("What the check points to; no floats.")] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """Policy that decided."""

    id: Annotated[str, Doc("Its id.")]
    version: Annotated[str, Doc("Its version.")]
    digest: Annotated[str, Doc("SHA-256 of its canonical content.")]


@dataclass(frozen=True)
class Reason:
    """One ground of a decision."""

    stage: Annotated[str, Doc("`prompt` or `image`.")]
    category: Annotated[str, Doc("What was found.")]
    check: Annotated[str, Doc("Check that found it, by its id.")]
    action: Annotated[str, Doc("`annotate`, `review` or `refuse`.")]


@dataclass(frozen=True)
class Decision:
    """What the policy made of all findings."""

    outcome: Annotated[str, Doc("`release`, `review` or `refuse`.")]
    stage: Annotated[str, Doc("`prompt` or `image`.")]
    reasons: Annotated[tuple[Reason, ...], Doc("Its grounds, the most severe first.")] = ()


@dataclass(frozen=True)
class Model:
    """Model that was asked for or used."""

    id: Annotated[str, Doc("Catalogue id.")]
    digest: Annotated[str | None, Doc("Digest over weights, configuration and scheduler.")] = None
    engine: Annotated[str | None, Doc("Engine that ran it.")] = None


@dataclass(frozen=True)
class Sampling:
    """How the model was run."""

    width: Annotated[int, Doc("Pixels.")]
    height: Annotated[int, Doc("Pixels.")]
    seed: Annotated[str | None, Doc("Decimal string: JSON numbers hold 53 bits.")] = None
    steps: Annotated[int | None, Doc("Denoising steps.")] = None
    guidance: Annotated[str | None, Doc("Classifier-free guidance scale, decimal string.")] = None
    strength: Annotated[str | None, Doc("How much of an input image was given up, 0 to 1, decimal string.")] = None
    scale: Annotated[int | None, Doc("How many times an image was enlarged.")] = None
    extend: Annotated[tuple[int, ...] | None, Doc("Pixels added to an image: left, top, right, bottom.")] = None
    count: Annotated[int | None, Doc("Images asked for.")] = None
    batch: Annotated[int | None, Doc("Batch size in which the image was made.")] = None
    threads: Annotated[int | None, Doc("CPU threads in use.")] = None
    index: Annotated[int | None, Doc("Place in the batch, from 0.")] = None
    scheduler: Annotated[str | None, Doc("Sampling scheduler.")] = None
    device: Annotated[str | None, Doc("Where it ran.")] = None
    dtype: Annotated[str | None, Doc("Number format of the weights: `float32`, `float16`, `bfloat16`.")] = None


@dataclass(frozen=True)
class Watermark:
    """Mark that was embedded and read back from the pixels that ship."""

    payload: Annotated[str, Doc("Hexadecimal.")]
    algorithm: Annotated[str, Doc("Name and version.")]
    read_back: Annotated[bool, Doc("Whether the mark was read back from the final file.")]
    confidence: Annotated[str | None, Doc("Of the read-back, decimal string.")] = None


@dataclass(frozen=True)
class Credential:
    """C2PA manifest store inside the file."""

    manifest: Annotated[str, Doc("Label of the active manifest.")]
    digest: Annotated[str, Doc("SHA-256 of the manifest store, hexadecimal.")]
    signer: Annotated[str | None, Doc("SHA-256 of the signing certificate.")] = None
    time_stamp: Annotated[str, Doc("`stamped`, `none`, or `pending`: the authority was away at release.")] = "none"


@dataclass(frozen=True)
class NearestReference:
    """Nearest listed work in the reference index."""

    reference: Annotated[str | None, Doc("The work, by its id; null if the index was empty.")]
    snapshot: Annotated[str, Doc("Index snapshot that was searched.")]
    distance: Annotated[str | None, Doc("Decimal string.")] = None
    threshold: Annotated[str | None, Doc("Distance at which a match counts, decimal string.")] = None
