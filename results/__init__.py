"""Results: the store of cells, metrics, tables, figures and the report. Needs no torch and nothing else of the harness."""

from results.frame import load

__all__ = ["load"]
