"""The running gateway: configuration, clock, MQTT, command line."""

__version__ = "0.1.0"
