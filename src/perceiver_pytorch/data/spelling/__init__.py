"""How numbers, dates and missing cells are written as text: found out from a table, and read in others like it."""
