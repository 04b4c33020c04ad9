"""Cells that come from elsewhere: classifiers that were trained without the harness, and other machines."""
