"""Word2Vec prototypes: fixed word vectors of the class names, brought to d dimensions by PCA."""

from pathlib import Path

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from headbench.core.batch import DataInfo
from headbench.heads.base import Options
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead
from headbench.heads.geometry.word_vectors import check_apart, class_vectors, file_of
from headbench.heads.registry import register


def principal_directions(vectors: Tensor, dim: int, whiten: bool = False) -> Tensor:
    """Return unit rows (C, dim): the vectors (C, n) centred and expressed in their first ``dim`` principal axes,
    zero-padded past their rank.

    Args:
        vectors: one per class.
        dim: d.
        whiten: give every axis the same variance before rows are brought to unit length.
    """
    centred = vectors - vectors.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    if whiten:
        # Axes past the rank hold rounding errors only.
        values = (values > values.max() * max(vectors.shape) * torch.finfo(values.dtype).eps).to(values.dtype)
    kept = (left * values)[:, :dim]
    # Whatever the unit of the table.
    return functional.normalize(functional.pad(kept, (0, dim - kept.shape[1])), eps=torch.finfo(kept.dtype).tiny)


@register(
    "word2vec",
    version=2,
    paper="the word-vector baseline of Mettes et al., NeurIPS 2019",
    source=(
        "all-MiniLM-L6-v2 384-d, or GloVe 6B 50-d, instead of the paper's word2vec 300-d; PCA to d is our "
        "construction, since no released code says how the "
        "vectors come to d dimensions"
    ),
    deviations=(
        "other vectors than the paper's: a table of 50 dimensions cannot stand for its 300, since PCA to d = 50 only "
        "turns it and leaves classes crowded; "
        "the loss is a batch mean (loss_scale 128 gives the sum over 128, but a smaller last batch then weighs more "
        "than in a sum)"
    ),
)
class Word2VecHead(FixedPrototypeHead):
    """Fixed prototypes from word vectors of the class names; loss (1 - cos(z, p_y))^2.

    Args:
        info: facts of the data; ``class_names`` are looked up.
        feature_dim: d, at most the size of the vectors.
        vectors: ``minilm`` (384 dimensions), ``glove`` (50), or a file of your own, see
            :func:`headbench.heads.geometry.word_vectors.class_vectors`.
        whiten: give all d principal axes the same variance, which moves crowded classes apart. At d = C - 1 nothing is
            left of the words: the prototypes are a regular simplex.
        batch_norm: batch normalisation of the features before they are brought to unit length, for features that cannot
            take every direction: without a projection they come out of a ReLU.
        loss_scale: factor on the batch mean of the loss.
    """

    named = ("vectors",)

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that d is above the size of the vectors.

        Raises:
            UserError: if a class name has no vector, or no direction of its own.
        """
        check_apart(info.class_names, options["vectors"])
        size = class_vectors(info.class_names, options["vectors"]).shape[1]
        return None if feature_dim <= size else f"the word vectors have {size} dimensions, fewer than d = {feature_dim}"

    @classmethod
    def files(cls, options: Options) -> dict[str, Path]:
        """Return the file behind ``vectors``."""
        return {"vectors": file_of(options["vectors"])}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        vectors: str = "minilm",
        whiten: bool = False,
        batch_norm: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        bank = principal_directions(class_vectors(info.class_names, vectors), feature_dim, whiten)
        super().__init__(bank, loss_scale, batch_norm=batch_norm)
