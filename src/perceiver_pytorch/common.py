"""Old import path of release 1.4.0; see the warnings for where each name lives now."""

from perceiver_pytorch._deprecated import old_path

__getattr__, __dir__ = old_path(
    __name__,
    {
        "build_perceiver_layers": "perceiver_pytorch.nn.cache:build_perceiver_layers",
        "LatentTransformer": "perceiver_pytorch.nn.cache:CachedLatentTransformer",
    },
)
