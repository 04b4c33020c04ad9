"""Finished cells for other tools: a run per cell, with its parameters, its history and its final metrics."""
