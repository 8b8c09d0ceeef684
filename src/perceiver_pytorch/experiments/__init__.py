"""Experiments: a YAML file names a configuration, factors, sets and seeds; every cell is trained once and kept."""
