"""What a host is: kernel, operating system, board, and the version of this exporter."""

import os
import platform
import re
import shlex
from collections.abc import Iterable

from exporters.exposition import Family, labels
from exporters.node.columns import Column
from exporters.node.host import Host, Seldom, folders, read_if_there, read_value

_UNAME = Column("node_uname_info", "gauge", "Labeled system information as provided by the uname system call.")
_OS_LABELS = (
    "build_id id id_like image_id image_version name pretty_name variant variant_id version version_codename version_id"
)
_OS = Column(
    "node_os_info",
    "gauge",
    f"A metric with a constant '1' value labeled by {', '.join(_OS_LABELS.split())}.",
)
_OS_VERSION = Column("node_os_version", "gauge", "Metric containing the major.minor part of the OS version.")
_DMI = Column(
    "node_dmi_info", "gauge", "A metric with a constant '1' value labeled by what /sys/class/dmi/id tells of the board."
)
_DMI_NAMES = re.compile(r"^(bios|board|chassis|product)_\w+$|^sys_vendor$")
_BUILD = Column(
    "node_exporter_build_info",
    "gauge",
    "A metric with a constant '1' value labeled by the version of Towline that exports these metrics.",
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Uname:
    """The kernel is the host's also in a container; the name is not, unless Docker was asked for the host's."""

    name = "uname"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._families = Seldom(self._read)

    def collect(self) -> Iterable[Family]:
        return self._families()

    def _read(self) -> list[Family]:
        system = os.uname()
        pairs = {
            "sysname": system.sysname,
            "release": system.release,
            "version": system.version,
            "machine": system.machine,
            "nodename": self._host.nodename or self._name_in_root() or system.nodename,
            "domainname": read_value(self._host.proc("sys/kernel/domainname")) or "(none)",
        }
        return [_UNAME.family([(labels(pairs), 1)])]

    def _name_in_root(self) -> str | None:
        return None if self._host.rootfs == "/" else read_value(self._host.root("/etc/hostname"))


class OsRelease:
    name = "os"

    def __init__(self, host: Host) -> None:
        self._paths = [host.root("/etc/os-release"), host.root("/usr/lib/os-release")]
        self._families = Seldom(self._read)

    def collect(self) -> Iterable[Family]:
        return self._families()

    def _read(self) -> list[Family]:
        raw = next((raw for raw in map(read_if_there, self._paths) if raw is not None), None)
        if raw is None:
            return []
        release = parse_os_release(raw)
        found = {name: release.get(name.upper(), "") for name in _OS_LABELS.split()}
        of_version = labels({name: found[name] for name in ("id", "id_like", "name")})
        major_minor = re.match(r"\d+\.?\d*", found["version_id"])
        number = float(major_minor[0]) if major_minor else 0
        return [_OS.family([(labels(found), 1)]), _OS_VERSION.family([(of_version, number)])]


class Dmi:
    """Serial numbers are there only for root."""

    name = "dmi"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("class/dmi/id")
        self._families = Seldom(self._read, seconds=3600)

    def collect(self) -> Iterable[Family]:
        return self._families()

    def _read(self) -> list[Family]:
        names = [name for name in folders(self._folder) if _DMI_NAMES.match(name)]
        values = {name.replace("sys_", "system_"): read_value(f"{self._folder}/{name}") for name in names}
        found = {name: value for name, value in values.items() if value is not None}
        return [_DMI.family([(labels(found), 1)])] if found else []


class Build:
    name = "build"

    def __init__(self, host: Host) -> None:
        machine = os.uname().machine
        pairs = {"branch": "", "goarch": _MACHINES.get(machine, machine), "goos": "linux"}
        about = {"goversion": f"python{platform.python_version()}", "revision": "", "version": host.version}
        self._families = [_BUILD.family([(labels(pairs | about), 1)])]

    def collect(self) -> Iterable[Family]:
        return self._families


def parse_os_release(raw: bytes) -> dict[str, str]:
    """Names and values of os-release(5): shell assignments."""
    found = {}
    for line in raw.decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:  # a quote that is not closed
        return value
