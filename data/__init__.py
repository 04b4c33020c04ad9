"""Data sets (one file each), the validation split, batched augmentation and the loader."""

from core.registry import discover
from data.registry import DATASETS, Dataset, ImageSet, register

discover(__name__, list(__path__))

__all__ = ["DATASETS", "Dataset", "ImageSet", "register"]
