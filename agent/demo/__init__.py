"""The demo: a street of virtual things, the strangers who trade there, and those who cheat."""
