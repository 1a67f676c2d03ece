"""Readings, their provenance, and the one table of quantities, units and vehicle signal names.

Units are those of RFC 8428 section 12.1 and RFC 8798; primary units only, so a profile converts
before it returns. Vehicle signal names are COVESA VSS 5 paths.
"""

from enum import IntEnum
from typing import NamedTuple

import msgspec


class Provenance(IntEnum):
    """How much the way that a packet came in says about who sent it."""

    OBSERVED = 0
    BONDED = 1
    AUTHENTICATED = 2
    SIGNED = 3
    SIMULATED = 9


class Quantity(NamedTuple):
    """A row of the table: unit, whether it says something about a person's body, VSS path."""

    unit: str
    personal: bool = False
    vss: str = ""


QUANTITIES: dict[str, Quantity] = {
    "heart_rate": Quantity("beat/min", personal=True),
    "rr_interval": Quantity("s", personal=True),
    "energy_expended": Quantity("J", personal=True),
    "sensor_contact": Quantity("/", personal=True),
    "glucose": Quantity("kg/m3", personal=True),
    "mass": Quantity("kg", personal=True),
    "speed": Quantity("m/s", vss="Vehicle.Speed"),
    "cadence": Quantity("1/min"),
    "stride_length": Quantity("m"),
    "distance": Quantity("m"),
    "wheel_revolutions": Quantity("count"),
    "wheel_event_time": Quantity("s"),
    "crank_revolutions": Quantity("count"),
    "crank_event_time": Quantity("s"),
    "step_count": Quantity("count"),
    "battery_level": Quantity("%EL"),
    "tyre_pressure": Quantity("Pa", vss="Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure"),
    "pressure": Quantity("Pa", vss="Vehicle.OBD.BarometricPressure"),
    "manifold_pressure": Quantity("Pa", vss="Vehicle.OBD.MAP"),
    "fuel_pressure": Quantity("Pa", vss="Vehicle.OBD.FuelPressure"),
    "temperature": Quantity("Cel"),
    "coolant_temperature": Quantity("Cel", vss="Vehicle.OBD.CoolantTemperature"),
    "intake_temperature": Quantity("Cel", vss="Vehicle.OBD.IntakeTemp"),
    "ambient_temperature": Quantity("Cel", vss="Vehicle.Exterior.AirTemperature"),
    "voltage": Quantity("V", vss="Vehicle.LowVoltageBattery.CurrentVoltage"),
    "control_voltage": Quantity("V", vss="Vehicle.OBD.ControlModuleVoltage"),
    "oxygen_voltage": Quantity("V", vss="Vehicle.OBD.O2.Sensor1.Voltage"),
    "current": Quantity("A", vss="Vehicle.LowVoltageBattery.CurrentCurrent"),
    "power": Quantity("W"),
    "energy": Quantity("J"),
    "humidity": Quantity("%RH"),
    "illuminance": Quantity("lx"),
    "acceleration": Quantity("m/s2"),
    "engine_speed": Quantity("1/min", vss="Vehicle.OBD.EngineSpeed"),
    "throttle_position": Quantity("/", vss="Vehicle.OBD.ThrottlePosition"),
    "engine_load": Quantity("/", vss="Vehicle.OBD.EngineLoad"),
    "fuel_level": Quantity("/", vss="Vehicle.OBD.FuelLevel"),
    "state_of_charge": Quantity(
        "/", vss="Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
    ),
    "state_of_health": Quantity("/", vss="Vehicle.Powertrain.TractionBattery.StateOfHealth"),
    "mass_air_flow": Quantity("kg/s", vss="Vehicle.OBD.MAF"),
    "odometer": Quantity("m", vss="Vehicle.TraveledDistance"),
    "run_time": Quantity("s", vss="Vehicle.OBD.RunTime"),
    "timing_advance": Quantity("deg", vss="Vehicle.OBD.TimingAdvance"),
    "dtc": Quantity("", vss="Vehicle.OBD.DTCList"),
    "vin": Quantity("", personal=True, vss="Vehicle.VehicleIdentification.VIN"),
}


class Reading(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One measurement of one quantity by one device, converted to the quantity's unit.

    `packet` is the first 8 bytes of the SHA-256 of the packet that said it. `wall_ms` is Unix time
    in milliseconds as the gateway's clock had it; `boottime_ms` is CLOCK_BOOTTIME in milliseconds.
    """

    device: str
    quantity: str
    value: float | str
    provenance: int
    profile: str
    wall_ms: int
    boottime_ms: int
    packet: bytes

    @property
    def unit(self) -> str:
        """The primary SenML unit of the quantity; empty for text."""
        return QUANTITIES[self.quantity].unit
