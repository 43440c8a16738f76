"""Which metric a sensor's file becomes, and in which unit.

Units of the files: https://docs.kernel.org/hwmon/sysfs-interface.html (millivolts, millidegrees, microwatts, …).
"""

from functools import cache

from exporters.node.columns import Column

_MILLI = 1e3
_MICRO = 1e6
_ALONE = {
    "beep_enable": (Column("node_hwmon_beep_enabled", "gauge", "Hardware beep enabled"), 1.0),
    "vrm": (Column("node_hwmon_voltage_regulator_version", "gauge", "Hardware voltage regulator"), 1.0),
    "update_interval": (
        Column("node_hwmon_update_interval_seconds", "gauge", "Hardware monitor update interval"),
        _MILLI,
    ),
}
_UNITS = {
    "in": ("_volts", "for voltage", _MILLI),
    "cpu": ("_volts", "for voltage", _MILLI),
    "temp": ("_celsius", "for temperature", _MILLI),
    "curr": ("_amps", "for current", _MILLI),
    "energy": ("_joule_total", "for joules used so far", _MICRO),
    "power": ("_watt", "for power usage in watts", _MICRO),
    "humidity": ("", "for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage)", _MICRO),
}


@cache
def column_of(type: str, element: str, bare: bool) -> tuple[Column, float]:
    """The metric, and what values are divided by. bare: the sensor has a value without an element, too."""
    if type in _ALONE:
        return _ALONE[type]
    suffix = f"_{element}" if element and (element != "input" or bare) else ""
    name = f"node_hwmon_{type}{suffix}"
    if element in ("fault", "alarm"):
        return Column(name, "gauge", f"Hardware sensor {element} status ({type})"), 1.0
    if element == "beep":
        return Column(f"{name}_enabled", "gauge", "Hardware monitor sensor has beeping enabled"), 1.0
    return _measured(name, type, element)


def _measured(name: str, type: str, element: str) -> tuple[Column, float]:
    if type == "power" and element.startswith("average_interval"):
        help = f"Hardware monitor power usage update interval ({element})"
        return Column(f"{name}_seconds", "gauge", help), _MILLI
    if type == "power" and element == "accuracy":
        return Column(name, "gauge", "Hardware monitor power meter accuracy, as a ratio"), _MICRO
    if type == "fan" and element in ("input", "min", "max", "target"):
        return Column(f"{name}_rpm", "gauge", f"Hardware monitor for fan revolutions per minute ({element})"), 1.0
    if (type, element) == ("freq", "input"):
        return Column(f"{name}_freq_mhz", "gauge", "Hardware monitor for GPU frequency in MHz"), _MICRO
    if type in _UNITS and (type, element) != ("temp", "type"):
        unit, what, scale = _UNITS[type]
        kind = "counter" if type == "energy" else "gauge"
        return Column(f"{name}{unit}", kind, f"Hardware monitor {what} ({element or 'input'})"), scale
    return Column(name, "gauge", f"Hardware monitor {type} element {element}"), 1.0
