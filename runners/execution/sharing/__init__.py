"""Several workers on one CUDA device: whether they fit, and how they compute at the same time."""
