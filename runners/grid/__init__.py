"""What is asked for: grid files, names with options, recipes, overrides, plug-ins."""
