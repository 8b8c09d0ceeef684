"""What the product learns in some minutes with default settings, beside what a user would pick instead."""
