"""The registries of views.

A view is one function, registered in ``VIEWS``, that draws the parameters of one epoch and returns the function that
shows a batch. It serves images in memory, a batch at a time on their device, and image files, each of which a worker
process has scaled and cropped to the size of the others. A view that wants a whole file, as it was taken, has another
function of the same name in ``FILE_VIEWS``.
"""

from collections.abc import Callable

import torch
from PIL.Image import Image
from torch import Tensor

from headbench.core.registry import Registry
from headbench.data.loading.augment import Augmentation, Statistics

# (images (B, channels, H, W) uint8, which of the epoch's draws belong to them) to normalised float32 images.
Show = Callable[[Tensor, slice], Tensor]
# (number of images in the epoch; the recipe's augmentation; mean and deviation per channel, on the images' device;
# (channels, height, width) of what is shown; a CPU generator, so that every device sees the same draws).
View = Callable[[int, Augmentation, tuple[Tensor, Tensor], tuple[int, int, int], torch.Generator], Show]
# (the recipe's augmentation; side of what is shown; mean and deviation per channel) to a function of an image that
# draws from the global generators.
FileView = Callable[[Augmentation, int, Statistics], Callable[[Image], Tensor]]

VIEWS: Registry[View] = Registry("view", "headbench.data")
FILE_VIEWS: Registry[FileView] = Registry("view of files", "headbench.data")
