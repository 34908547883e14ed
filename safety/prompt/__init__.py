"""Prompt checks: the canonicaliser, the classifier, and the rules."""
