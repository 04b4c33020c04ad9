"""What several workers of one machine share: their imports, its memory, and the time of one CUDA device."""
