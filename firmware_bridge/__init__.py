"""Talks to device firmware: radios, device profiles, pairing, firmware update, virtual devices."""
