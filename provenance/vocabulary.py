"""The closed vocabularies that a credential must use, and that the SDK does not check.

Sources: IPTC Digital Source Type NewsCodes; C2PA 2.4 §18.15 (actions) and its soft-binding algorithm list.
"""

from __future__ import annotations

from typing import Final

_IPTC: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_C2PA: Final = "http://c2pa.org/digitalsourcetype/"

TRAINED_ALGORITHMIC_MEDIA: Final = _IPTC + "trainedAlgorithmicMedia"
COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA: Final = _IPTC + "compositeWithTrainedAlgorithmicMedia"
ALGORITHMIC_MEDIA: Final = _IPTC + "algorithmicMedia"  # drawn by a program without a trained model
MODEL_TYPE: Final = "c2pa.types.model"

DIGITAL_SOURCE_TYPES: Final = frozenset(
    {
        _IPTC + term
        for term in (
            "digitalCapture",
            "computationalCapture",
            "negativeFilm",
            "positiveFilm",
            "print",
            "humanEdits",
            "compositeCapture",
            "algorithmicallyEnhanced",
            "dataDrivenMedia",
            "digitalCreation",
            "virtualRecording",
            "trainedAlgorithmicMedia",
            "algorithmicMedia",
            "screenCapture",
            "composite",
            "compositeSynthetic",
            "compositeWithTrainedAlgorithmicMedia",
        )
    }
    | {_C2PA + "empty", _C2PA + "trainedAlgorithmicData"}
)

# What a source type lets a reader say about how the picture came to be (C2PA Asset Rubrics, signals).
GENERATED_SOURCE_TERMS: Final = frozenset({"trainedAlgorithmicMedia"})
PARTLY_GENERATED_SOURCE_TERMS: Final = frozenset(
    {"compositeWithTrainedAlgorithmicMedia", "compositeSynthetic", "trainedAlgorithmicData"}
)
CAPTURE_SOURCE_TERMS: Final = frozenset({"digitalCapture", "computationalCapture", "compositeCapture"})

# C2PA 2.4 §18.15.4 and its list of deprecated actions (§18.15.11) left out.
ACTIONS: Final = frozenset(
    f"c2pa.{name}"
    for name in (
        "addedText", "adjustedColor", "changedSpeed", "converted", "created", "cropped", "deleted", "drawing",
        "dubbed", "edited", "edited.metadata", "enhanced", "filtered", "mastered", "mixed", "opened", "orientation",
        "placed", "published", "redacted", "remixed", "removed", "repackaged", "resized", "resized.proportional",
        "transcoded", "translated", "trimmed", "unknown", "watermarked.bound", "watermarked.unbound",
    )
)  # fmt: skip

# Predefined actions that may stand without a source type (Additional Conformance Requirements 0.2).
ACTIONS_WITHOUT_SOURCE_TYPE: Final = frozenset(
    f"c2pa.{name}"
    for name in (
        "converted", "edited.metadata", "enhanced", "opened", "placed", "published", "redacted", "repackaged",
        "resized.proportional", "transcoded", "watermarked", "watermarked.bound", "watermarked.unbound",
    )
)  # fmt: skip

# Actions that leave the content as it was (C2PA Asset Rubrics, non-editorial transformations).
NON_EDITORIAL_ACTIONS: Final = frozenset(
    {
        "c2pa.converted",
        "c2pa.edited.metadata",
        "c2pa.opened",
        "c2pa.placed",
        "c2pa.published",
        "c2pa.repackaged",
        "c2pa.resized.proportional",
        "c2pa.transcoded",
        "c2pa.watermarked",
        "c2pa.watermarked.bound",
        "c2pa.watermarked.unbound",
    }
)

NAMESPACE: Final = "org.imprimatur"
GENERATION_ASSERTION: Final = f"{NAMESPACE}.generation"
WATERMARK_ALGORITHM: Final = f"{NAMESPACE}.watermark.1"  # not on the C2PA list: namespaced, and flagged so
ISCC_ALGORITHM: Final = "io.iscc.v0"


TRAINING_MINING_ENTRIES: Final = frozenset(
    {"cawg.ai_inference", "cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining"}
)
TRAINING_MINING_USES: Final = frozenset({"allowed", "notAllowed", "constrained"})

HUMAN_OVERSIGHT_LEVELS: Final = frozenset({"fully_autonomous", "prompt_guided", "human_validated"})


def source_term(uri: str | None) -> str:
    """The last part of a source-type URI, whatever vocabulary spelled it (`…/digitalCapture`)."""
    return (uri or "").rstrip("/").rsplit("/", 1)[-1]
