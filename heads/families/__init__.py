"""Bases that several heads share, one file a family."""
