"""What a report shows of a hyperparameter search."""
