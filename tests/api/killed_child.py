"""Runs one generation and kills its own process at a named step; the test of killed processes starts it.

Usage: python -m tests.api.killed_child ACCEPTED_STEP...  One process loads the libraries and forks a child for every
step; each child is killed, and its record stays as it was at that moment.
"""

from __future__ import annotations

import io
import os
import signal
import sys

import numpy as np
from PIL import Image

from api.composition import Imprimatur
from api.generate import Order, Step
from api.settings import Settings
from generator.request import GenerationRequest


def _run_until(last: Step) -> None:
    def kill(step: Step) -> None:
        if step is last:
            os.kill(os.getpid(), signal.SIGKILL)

    services = Imprimatur(Settings())
    request = GenerationRequest(
        prompt="a yellow star on a black background", task="image-to-image", strength=0.9, seed=3, steps=1
    )  # the one kind of request that takes every step
    order = Order(request, services.local_caller(), "png", image=_picture())
    services.generation.run(order, observe=kill)


def _picture() -> bytes:
    noise = np.random.default_rng(1).integers(40, 216, (16, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def main() -> int:
    """Fork, run and be killed, once for each step; exit with 0 if every child died by SIGKILL."""
    import diffusers  # noqa: F401 - loaded once, before the forks
    import transformers  # noqa: F401

    for step in Step:
        child = os.fork()
        if child == 0:
            try:
                _run_until(step)
            finally:
                os._exit(7)  # it was not killed
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            print(f"the child was not killed at step '{step}': status {status}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
