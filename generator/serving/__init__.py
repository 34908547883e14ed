"""Serving: a bounded, fair line before the models, from which compatible requests are run together."""

from generator.serving.cancellation import Cancellation
from generator.serving.queue import GenerationQueue, Place
from generator.serving.ticket import Ticket

__all__ = ["Cancellation", "GenerationQueue", "Place", "Ticket"]
