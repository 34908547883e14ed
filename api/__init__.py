"""Composition root: settings, the two flows (generate, verify), command line, HTTP, migrations."""
