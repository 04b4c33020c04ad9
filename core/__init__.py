"""What heads, backbones and data share without knowing each other: registry, batch types, named random streams."""
