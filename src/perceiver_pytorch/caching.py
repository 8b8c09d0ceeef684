"""Old import path of release 1.4.0; see the warnings for where each name lives now."""

from perceiver_pytorch._deprecated import old_path

__getattr__, __dir__ = old_path(__name__, {"cache_by_name_fn": "perceiver_pytorch.nn.cache:cache_by_name_fn"})
