"""Files that lie elsewhere: their addresses, the stores that have them, and the cache that they are kept in."""
