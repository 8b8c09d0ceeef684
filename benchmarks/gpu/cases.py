"""A model on pictures of 1,000 to 10 million tokens, in float32, bfloat16 and uint8."""

from benchmarks.cases import Case, Modality

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
TINY = (64, 256)
DTYPES = ("float32", "bfloat16", "uint8")
CONTESTANTS = ("ours", "ours-chunked", "release-1.4.0", "rival", "transformers", "flash-perceiver")
"""The rival materialises its input, and attends by `scaled_dot_product_attention`: in bfloat16 by flash-attention."""


def cases(sizes: tuple[int, ...] | list[int]) -> list[Case]:
    """bfloat16 is of the data and, by autocast, of the matrix products; with uint8 the model is in float32."""
    return [_case(tokens, dtype) for tokens in sizes for dtype in DTYPES]


def _case(tokens: int, dtype: str) -> Case:
    side = max(2, round(tokens**0.5))
    picture = Modality("image", 3, (side, side), 6, float(side), dtype=dtype)
    precision = "bfloat16" if dtype == "bfloat16" else "float32"
    arguments = {"depth": 2, "num_latents": 64, "latent_dim": 256, "num_classes": 1000}
    return Case("gpu", f"{side * side:,} tokens, {dtype}", "Perceiver", (picture,), arguments, precision=precision)
