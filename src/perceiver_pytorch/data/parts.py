"""The parts of a table, apart from what cuts them: settings name them, and need no library of numbers for it."""

PARTS = ("train", "val", "test")
