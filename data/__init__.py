"""Data sets (one file each), their cache, splits and long tails, batched augmentation and the loader."""

from headbench.core.registry import discover
from headbench.data.registry import DATASETS, Dataset, FileSet, ImageSet, register

discover(__name__, list(__path__))

__all__ = ["DATASETS", "Dataset", "FileSet", "ImageSet", "register"]
