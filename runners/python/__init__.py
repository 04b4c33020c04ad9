"""What ``import headbench`` offers, one file a function."""
