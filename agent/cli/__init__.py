"""The `milepost` command: one file a noun; each parses, makes one call and prints."""
