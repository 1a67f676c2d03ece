"""Device profiles: one family a file, pure; bytes to readings."""
