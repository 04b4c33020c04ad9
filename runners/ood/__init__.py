"""Other data sets than the one that a cell is trained on, which its scores are to tell from its own."""
