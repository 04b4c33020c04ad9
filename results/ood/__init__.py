"""How cells tell images of other data sets from their own: files of cells, and rows of a grid."""
