"""Numbers of arrays and rows, by functions that know no cell: metrics, calibration, collapse, statistics."""
