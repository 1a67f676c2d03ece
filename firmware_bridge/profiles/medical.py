"""The medical number formats and the date that GATT health services share.

Source: IEEE 11073-20601 annex F.8 and F.9 (FLOAT, SFLOAT); GATT Specification Supplement,
"medfloat16", "medfloat32" and "Date Time".
"""

from fractions import Fraction

from firmware_bridge.profiles.profile import Fields

# NaN, NRes, +infinity, -infinity, reserved: each with exponent 0, so exact words.
SFLOAT_SPECIAL = frozenset({0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801})
FLOAT_SPECIAL = frozenset({0x7FFFFF, 0x800000, 0x7FFFFE, 0x800002, 0x800001})

YEAR_MIN, YEAR_MAX = 1582, 9999


def medfloat16(word: int) -> Fraction | None:
    """The exact value of an SFLOAT; None for the special values, which are no measurement."""
    if word in SFLOAT_SPECIAL:
        return None
    mantissa, exponent = word & 0xFFF, word >> 12
    return _scaled(mantissa - (mantissa >> 11 << 12), exponent - (exponent >> 3 << 4))


def medfloat32(word: int) -> Fraction | None:
    """The exact value of a FLOAT; None for the special values, which are no measurement."""
    if word in FLOAT_SPECIAL:
        return None
    mantissa, exponent = word & 0xFFFFFF, word >> 24
    return _scaled(mantissa - (mantissa >> 23 << 24), exponent - (exponent >> 7 << 8))


def _scaled(mantissa: int, exponent: int) -> Fraction:
    return Fraction(mantissa * 10 ** max(exponent, 0), 10 ** max(-exponent, 0))


def skip_date_time(fields: Fields) -> None:
    """Pass over a date of 7 bytes; raises `DecodeError` where it is no date.

    0 means unknown for year, month and day. An impossible date means that the fields do not lie
    where the flags say, so that nothing else in the payload can be believed.
    """
    year = fields.u16()
    month, day, hour, minute, second = fields.take(5)
    if not (year == 0 or YEAR_MIN <= year <= YEAR_MAX):
        raise fields.error(f"want a year of 0 or {YEAR_MIN}..{YEAR_MAX}, got {year}")
    if month > 12 or day > 31 or hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004  # a calendar
        raise fields.error(
            f"want a date and time, got {month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
