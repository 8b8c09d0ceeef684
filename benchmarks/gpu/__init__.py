"""`python -m benchmarks.gpu`: what the package does on a GPU, against float64 and against peers."""
