"""Tests mirror the source: each module has its test file, or stands below with the place of its tests."""

from pathlib import Path

TESTS = Path(__file__).parent
ELSEWHERE = {
    # Old and short paths: names handed on.
    **dict.fromkeys(("_deprecated", "caching", "common", "perceiver_pytorch"), "test_old_paths.py"),
    **dict.fromkeys(
        (
            *("byte_tokenizer", "hierarchical_multi_modality_perceiver", "modalities", "multi_modality_perceiver"),
            *("multi_modality_with_text_perceiver", "outputs", "perceiver", "perceiver_io", "style"),
        ),
        "test_contracts.py",
    ),
}
"""{module: the test file, or several, in which it is tested}."""


def test_file(module: str) -> str:
    """Where the tests of a module belong, below tests/."""
    *folders, name = module.split(".")[1:]
    return "/".join([*folders, f"test_{name}.py"])
