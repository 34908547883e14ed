"""On which machine a benchmark ran."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """Cores and processor, for the head of a table of results; benchmarks need not run on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.processor() or 'unknown processor'}"
