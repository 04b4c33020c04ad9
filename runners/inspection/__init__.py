"""What one can look at without training: plug-ins, data sets, prototypes, the state of a grid."""
