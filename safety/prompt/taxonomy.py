"""Which labels of the training material stand for which categories."""

from __future__ import annotations

from safety.taxonomy import LEARNT_CATEGORIES

CATEGORIES: tuple[str, ...] = LEARNT_CATEGORIES
"""In the order of the classifier's outputs."""

CATEGORY_OF_LABEL = {
    "sexual": "sexual",
    "sexual_content": "sexual",
    "violence": "violence",
    "shocking": "shocking",
    "self-harm": "self_harm",
    "self_harm": "self_harm",
    "hate": "hate",
    "discrimination": "hate",
    "harassment": "harassment",
    "illegal activity": "illegal_acts",
    "illegal_activities": "illegal_acts",
    "privacy_individual": "privacy",
    "privacy_public": "privacy",
    "unethical": "deception",
    "copyright_violations": "copyright",
}
"""Labels of I2P and OVERT, and the category of ours that each belongs to."""
