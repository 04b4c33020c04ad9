"""Subclasses: the clusters within each class, of about the size of the smallest class, and the temperatures that follow
from their spread.
"""

import warnings
from typing import Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.core.streams import derive

Form = Literal["linear", "exponential"]

# The released code's limits of a clustering.
ITERATIONS, TOLERANCE = 35, 1e-3
# Spreads are brought between these percentiles of all classes.
PERCENTILES = (20, 80)


def subclass_counts(info: DataInfo, smallest: int) -> Tensor:
    """Return the number of subclasses k_c = max(1, floor(n_c / max(n_min, smallest))) (C,) int64.

    A class never has more subclasses than images; one without images has one, which stays empty.

    Args:
        info: facts of the data; n_min is the smallest number of images of a class.
        smallest: images that a subclass has at least, on average.

    Source: Hou et al., ICCV 2023, and its released code.
    """
    counts = info.class_counts
    return (counts // max(int(counts.min()), smallest)).clamp(min=1)


def cluster(features: Tensor, labels: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Return the subclass of each sample (N,) int64, numbered through all classes, by one k-means in each class.

    Args:
        features: (N, p) unit vectors on the CPU, whose squared distance is 2 - 2 cos.
        labels: (N,) on the CPU.
        counts: k_c (C,) subclasses of each class.
        seed: of the first centres, which are images drawn at random.
    """
    # sklearn takes a second to import, and few heads cluster.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    found, first = torch.empty_like(labels), counts.cumsum(0) - counts
    # Several threads would add a centre's members in any order; equal features leave clusters empty, as they must.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, members in enumerate(members_of(labels, len(counts))):
            k = int(counts[number])
            found[members] = first[number]
            if k > 1 and len(members):
                state = derive(seed, "subclasses", number) % 2**32
                means = KMeans(k, init="random", n_init=1, max_iter=ITERATIONS, tol=TOLERANCE, random_state=state)
                found[members] += torch.from_numpy(means.fit_predict(features[members].numpy())).long()
    return found


def dynamic_temperatures(
    features: Tensor, labels: Tensor, counts: Tensor, temperature: float, form: Form = "linear"
) -> Tensor:
    """Return a temperature for each class (C,) float32: higher where its features are spread out.

    With the spread phi_c = mean |f_i - mean f| / log(n_c + 10) of a class, brought between the 20th and the 80th
    percentile of all classes that have images, it is temperature x phi_c / mean phi, or temperature x exp(phi_c / mean
    phi). A class of one subclass keeps the temperature as it is, and so do all where none has any spread.

    Args:
        features: (N, p) on the CPU.
        labels: (N,) on the CPU.
        counts: k_c (C,) subclasses of each class.
        temperature: of a class of usual spread in the linear form.
        form: ``linear`` is that of the released code, ``exponential`` that of the paper.

    Source: Hou et al., ICCV 2023, and its released code.
    """
    spreads = np.full(len(counts), np.nan)
    for number, members in enumerate(members_of(labels, len(counts))):
        if len(members):
            own = features[members].double()
            spreads[number] = (own - own.mean(dim=0)).norm(dim=1).mean().item() / np.log(len(members) + 10)
    spreads = spreads.clip(*np.nanpercentile(spreads, PERCENTILES))
    by_mean = spreads / (np.nanmean(spreads) or 1.0)
    factors = torch.from_numpy(by_mean if form == "linear" else np.exp(by_mean))
    usual = (counts == 1) | ~torch.from_numpy(spreads > 0)
    return (temperature * torch.where(usual, 1.0, factors)).float()


def members_of(labels: Tensor, num_classes: int) -> tuple[Tensor, ...]:
    """Return the positions of each class's samples in labels (N,), C tensors."""
    sizes = torch.bincount(labels, minlength=num_classes)
    return torch.split(labels.argsort(stable=True), sizes.tolist())
