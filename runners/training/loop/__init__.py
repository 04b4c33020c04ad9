"""What the training loop keeps while it runs."""
