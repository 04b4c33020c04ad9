"""Grids, recipes, the training loop and the schedule of cells."""
