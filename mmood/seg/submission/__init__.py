"""What the servers of segmentation benchmarks take."""
