"""Serve networks: a worker with a queue and deadlines, its metrics, and a lighter model under load."""

from trtforge.serving.admission import Limits, Priority
from trtforge.serving.models import ServedModel
from trtforge.serving.policy import DegradeRule, DegradeState, Sample, Tier, step
from trtforge.serving.requests import Answer
from trtforge.serving.store_watch import watch_store
from trtforge.serving.tasks import Arrays, Transcription
from trtforge.serving.worker import Worker

__all__ = [
    "Answer",
    "Arrays",
    "DegradeRule",
    "DegradeState",
    "Limits",
    "Priority",
    "Sample",
    "ServedModel",
    "Tier",
    "Transcription",
    "Worker",
    "step",
    "watch_store",
]
