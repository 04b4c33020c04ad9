"""Word2Vec prototypes: fixed word vectors of the class names, brought to d dimensions by PCA."""

from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from core.batch import DataInfo
from heads.fixed import FixedPrototypeHead
from heads.normalisation import unit
from heads.registry import register
from heads.vectors import class_vectors, file_of


def principal_directions(vectors: Tensor, dim: int) -> Tensor:
    """Return unit rows (C, dim): the vectors (C, n) centred and expressed in their first ``dim`` principal axes, zero-padded past their rank."""
    centred = vectors - vectors.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = (left * values)[:, :dim]
    return unit(functional.pad(kept, (0, dim - kept.shape[1])))


@register(
    "word2vec",
    version=1,
    paper="the word-vector baseline of Mettes et al., NeurIPS 2019",
    source="GloVe 6B 50-d instead of word2vec 300-d; PCA to d is our construction, since no released code says how the vectors come to d dimensions",
    deviations="the loss is a batch mean (loss_scale 128 gives the paper's sum over batches of 128)",
)
class Word2VecHead(FixedPrototypeHead):
    """Fixed prototypes from word vectors of the class names; loss (1 - cos(z, p_y))^2.

    Args:
        info: facts of the data; ``class_names`` are looked up.
        feature_dim: d, at most the size of the vectors.
        vectors: ``glove`` (50 dimensions), ``minilm`` (384), or a file of your own, see :func:`heads.vectors.class_vectors`.
        loss_scale: factor on the batch mean of the loss.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, *, vectors: str = "glove", **hyperparameters: Any) -> str | None:
        """Return that d is above the size of the vectors.

        Raises:
            UserError: if a class name has no vector.
        """
        size = class_vectors(info.class_names, vectors).shape[1]
        return None if feature_dim <= size else f"the word vectors have {size} dimensions, fewer than d = {feature_dim}"

    @classmethod
    def files(cls, *, vectors: str = "glove", **hyperparameters: Any) -> dict[str, Path]:
        """Return the file behind ``vectors``."""
        return {"vectors": file_of(vectors)}

    def __init__(self, info: DataInfo, feature_dim: int, *, vectors: str = "glove", loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(principal_directions(class_vectors(info.class_names, vectors), feature_dim), loss_scale)
