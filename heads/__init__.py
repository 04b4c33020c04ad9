"""Classifier heads: from features (B, d) to class scores (B, C), each with its loss, one file a method."""

from headbench.core.registry import discover
from headbench.heads.base import Context, Head, Options, RecipeView, Stage
from headbench.heads.registry import HEADS, register

discover(__name__, list(__path__))

__all__ = ["HEADS", "Context", "Head", "Options", "RecipeView", "Stage", "register"]
