"""A search of better values: the same budget, sampler and pruner for every head, on validation alone."""
