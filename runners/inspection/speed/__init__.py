"""``bench.py speed``: a training step by the bare arithmetic, by this runner and by a textbook pipeline."""
