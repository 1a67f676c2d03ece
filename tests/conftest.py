"""What holds for every test: a loaded machine makes nothing fail that is right."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "milepost", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("milepost")
