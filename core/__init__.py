"""What heads, backbones and data share without knowing each other: the registry, the batch types, named random streams."""
