"""Old import path of release 1.4.0; see the warnings for where each name lives now."""

from perceiver_pytorch._deprecated import old_path

__getattr__, __dir__ = old_path(
    __name__,
    {
        "Perceiver": "perceiver_pytorch.perceiver:Perceiver",
        "PreNorm": "perceiver_pytorch.nn:PreNorm",
        "Attention": "perceiver_pytorch.nn:Attention",
        "FeedForward": "perceiver_pytorch.nn:FeedForward",
        "FeedForwardGELU": "perceiver_pytorch.nn:FeedForwardGELU",
        "GEGLU": "perceiver_pytorch.nn:GEGLU",
        "fourier_encode": "perceiver_pytorch.nn:fourier_encode",
        "cache_fn": "perceiver_pytorch.nn.cache:cache_fn",
    },
)
