"""Ways onto the engines of clusters: what drains a grid on many machines."""
