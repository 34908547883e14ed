"""The closed vocabularies that a credential must use, and that the SDK does not check.

Sources: IPTC Digital Source Type NewsCodes; C2PA 2.4 §18.15 (actions) and its soft-binding algorithm list.
"""

from __future__ import annotations

from typing import Final

_IPTC: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_C2PA: Final = "http://c2pa.org/digitalsourcetype/"

TRAINED_ALGORITHMIC_MEDIA: Final = _IPTC + "trainedAlgorithmicMedia"
COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA: Final = _IPTC + "compositeWithTrainedAlgorithmicMedia"

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

# Entries of the C2PA soft-binding algorithm list that we write ourselves; others are read, never written.
REGISTERED_SOFT_BINDINGS: Final = frozenset({ISCC_ALGORITHM})

TRAINING_MINING_ENTRIES: Final = frozenset(
    {"cawg.ai_inference", "cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining"}
)
TRAINING_MINING_USES: Final = frozenset({"allowed", "notAllowed", "constrained"})


def source_term(uri: str | None) -> str:
    """The last part of a source-type URI, whatever vocabulary spelled it (`…/digitalCapture`)."""
    return (uri or "").rstrip("/").rsplit("/", 1)[-1]
