"""The path of `ByteTokenizer`; see `perceiver_pytorch.models.text.byte_tokenizer`."""

from perceiver_pytorch.models.text.byte_tokenizer import ByteTokenizer

__all__ = ["ByteTokenizer"]
