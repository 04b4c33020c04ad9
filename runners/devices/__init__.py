"""One cell on several devices of a machine, a process each."""
