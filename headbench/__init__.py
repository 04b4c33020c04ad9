"""headbench compares classifier heads for image classification, with everything else equal."""

from headbench.results import load

__all__ = ["load"]
