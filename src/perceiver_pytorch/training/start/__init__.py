"""Fine-tuning: starting from weights that were trained before."""
