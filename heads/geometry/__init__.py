"""Prototypes: points on the sphere, from closed forms or a search, certified, kept in files, assigned to classes."""
