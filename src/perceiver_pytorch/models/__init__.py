"""The models: short assemblies of the parts in `nn`."""
