"""The named samplers that a stage may ask for, one file a sampler."""

from headbench.core.registry import discover
from headbench.data.loading.samplers.registry import SAMPLERS, Sampler

discover(__name__, list(__path__))

__all__ = ["SAMPLERS", "Sampler"]
