"""The moving average of a classifier's weights, which is evaluated in their place."""

import torch
from torch import Tensor, nn

from headbench.heads.normalisation import BatchNorm
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.loop.state import on_cpu


class Average:
    """An exponential moving average of weights over the steps of a stage: a <- decay a + (1 - decay) w.

    It begins at the weights that the stage begins with. Parameters and running statistics of batch norm are averaged;
    the state of a head (assignments, class means, memories) is taken as it is, since a mean of states need not be one.

    Args:
        classifier: which is trained.
        decay: in (0, 1).

    Attributes:
        classifier: with the averaged weights, in eval mode.

    Source: Polyak & Juditsky, 1992; timm's ModelEmaV3.
    """

    def __init__(self, classifier: Classifier, decay: float) -> None:
        # Importing timm takes 1.6 s, which a training without an average is spared.
        from timm.utils.model_ema import ModelEmaV3

        self._kept = ModelEmaV3(classifier, decay)
        self.classifier: Classifier = self._kept.module
        self.moved = False

    @torch.no_grad()
    def update(self, trained: Classifier) -> None:
        """Take up the weights after a step."""
        self._kept.update(trained)
        self.moved = True
        for module, other in zip(self.classifier.head.modules(), trained.head.modules(), strict=True):
            if isinstance(module, BatchNorm | nn.BatchNorm1d):
                continue
            for own, state in zip(module.buffers(recurse=False), other.buffers(recurse=False), strict=True):
                own.copy_(state)

    def evaluated(self) -> Classifier:
        """Return the classifier to evaluate; its head brings an average back to where its weights have to lie, once a
        step, so that it does not matter how often it is evaluated.
        """
        if self.moved:
            self.classifier.head.after_step()
        self.moved = False
        return self.classifier

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights, on the CPU."""
        state: dict[str, Tensor] = on_cpu(self.classifier.state_dict())
        return state
