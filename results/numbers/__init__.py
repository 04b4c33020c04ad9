"""Numbers of arrays: metrics, calibration, statistics. Pure functions."""
