"""From a grid to finished cells: plan, queue, locks, worker processes."""
