"""What virtual machines lack, from trees made up after the kernel's documentation of each."""

from collections.abc import Callable, Iterable

from exporters.exposition import Family
from exporters.node import Host
from exporters.node.conntrack import ConnTrack
from exporters.node.cpu import Cpu, cpu_list
from exporters.node.cpufreq import CpuFrequency
from exporters.node.diskstats import DiskStats
from exporters.node.facts import Dmi
from exporters.node.hwmon import HwMon
from exporters.node.powersupply import PowerSupply
from exporters.node.schedstat import SchedStat
from exporters.node.thermal import Thermal

Put = Callable[[str, str], None]
Read = Callable[[Iterable[Family]], dict[str, dict[str, float]]]


def test_sensors_are_named_by_their_device_and_told_in_base_units(host: Host, put: Put, samples: Read) -> None:
    device = "sys/devices/platform/coretemp.0"
    for name, content in {
        "name": "coretemp\n",
        "temp1_input": "55000\n",
        "temp1_crit": "100000\n",
        "temp1_crit_alarm": "0\n",
        "temp1_crit_hyst": "90000\n",
        "temp1_max": "84000\n",
        "temp1_label": "Core 0\n",
        "fan1_input": "1998\n",
        "fan1_min": "600\n",
        "fan1_alarm": "1\n",
        "in0_input": "1850\n",
        "power1_average": "12500000\n",
        "energy1_input": "3000000\n",
        "curr1_input": "250\n",
        "freq1_input": "300000000\n",
        "freq1_label": "sclk\n",
        "temp2_input": "garbage\n",
    }.items():
        put(f"{device}/hwmon/hwmon0/{name}", content)
    put(f"{device}/hwmon/hwmon0/device", f"-> {device}")
    put("sys/class/hwmon/hwmon0", f"-> {device}/hwmon/hwmon0")

    found = samples(HwMon(host).collect())

    temp1, fan1 = '{chip="platform_coretemp_0",sensor="temp1"}', '{chip="platform_coretemp_0",sensor="fan1"}'
    assert found["node_hwmon_chip_names"] == {'{chip="platform_coretemp_0",chip_name="coretemp"}': 1}
    assert found["node_hwmon_sensor_label"]['{chip="platform_coretemp_0",label="Core 0",sensor="temp1"}'] == 1
    assert found["node_hwmon_temp_celsius"] == {temp1: 55}  # temp2 has no number and is left out
    assert found["node_hwmon_temp_crit_celsius"] == {temp1: 100}
    assert found["node_hwmon_temp_crit_alarm_celsius"] == {temp1: 0}
    assert found["node_hwmon_temp_crit_hyst_celsius"] == {temp1: 90}
    assert found["node_hwmon_temp_max_celsius"] == {temp1: 84}
    assert found["node_hwmon_fan_rpm"] == {fan1: 1998}
    assert found["node_hwmon_fan_min_rpm"] == {fan1: 600}
    assert found["node_hwmon_fan_alarm"] == {fan1: 1}
    assert found["node_hwmon_in_volts"] == {'{chip="platform_coretemp_0",sensor="in0"}': 1.85}
    assert found["node_hwmon_power_average_watt"] == {'{chip="platform_coretemp_0",sensor="power1"}': 12.5}
    assert found["node_hwmon_energy_joule_total"] == {'{chip="platform_coretemp_0",sensor="energy1"}': 3}
    assert found["node_hwmon_curr_amps"] == {'{chip="platform_coretemp_0",sensor="curr1"}': 0.25}
    assert found["node_hwmon_freq_freq_mhz"] == {'{chip="platform_coretemp_0",sensor="sclk"}': 300}


def test_two_chips_of_one_device_are_told_apart(host: Host, put: Put, samples: Read) -> None:
    device = "sys/devices/platform/asus-nb-wmi"
    for number, name in enumerate(("asus", "asus_wmi_sensors")):
        put(f"{device}/hwmon/hwmon{number}/name", name)
        put(f"{device}/hwmon/hwmon{number}/fan1_input", f"{number}000")
        put(f"{device}/hwmon/hwmon{number}/device", f"-> {device}")
        put(f"sys/class/hwmon/hwmon{number}", f"-> {device}/hwmon/hwmon{number}")

    assert samples(HwMon(host).collect())["node_hwmon_fan_rpm"] == {
        '{chip="platform_asus_nb_wmi_asus",sensor="fan1"}': 0,
        '{chip="platform_asus_nb_wmi_asus_wmi_sensors",sensor="fan1"}': 1000,
    }


def test_a_chip_without_a_device_is_called_what_it_calls_itself(host: Host, put: Put, samples: Read) -> None:
    put("sys/class/hwmon/hwmon3/name", "acpitz\n")
    put("sys/class/hwmon/hwmon3/temp1_input", "27800\n")

    assert samples(HwMon(host).collect())["node_hwmon_temp_celsius"] == {'{chip="acpitz",sensor="temp1"}': 27.8}


def test_zones_and_cooling_devices(host: Host, put: Put, samples: Read) -> None:
    put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    put("sys/class/thermal/thermal_zone0/temp", "12376\n")
    put("sys/class/thermal/thermal_zone1/type", "broken\n")  # temp can't be read while the sensor is off
    put("sys/class/thermal/cooling_device0/type", "Processor\n")
    put("sys/class/thermal/cooling_device0/cur_state", "0\n")
    put("sys/class/thermal/cooling_device0/max_state", "3\n")

    found = samples(Thermal(host).collect())

    assert found["node_thermal_zone_temp"] == {'{zone="0",type="cpu-thermal"}': 12.376}
    assert found["node_cooling_device_cur_state"] == {'{name="0",type="Processor"}': 0}
    assert found["node_cooling_device_max_state"] == {'{name="0",type="Processor"}': 3}


def test_tracked_connections_are_those_of_all_cpus_but_entries_are_counted_once(
    host: Host, put: Put, samples: Read
) -> None:
    heading = (
        "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop "
        "icmp_error  expect_new expect_create expect_delete search_restart"
    )
    cpu0 = "0000004f  0 1 0 3 5 0 0 0 1 2 0 0  0 0 0 0000000a"
    cpu1 = "0000004f  0 1 0 a 0 0 0 0 1 0 4 0  0 0 0 00000001"
    put("proc/1/net/dev", "")
    put("proc/1/net/stat/nf_conntrack", f"{heading}\n{cpu0}\n{cpu1}\n")
    put("proc/sys/net/netfilter/nf_conntrack_max", "262144\n")

    found = {name: value[""] for name, value in samples(ConnTrack(host).collect()).items()}

    assert found == {
        "node_nf_conntrack_entries": 79,
        "node_nf_conntrack_entries_limit": 262144,
        "node_nf_conntrack_stat_found": 2,
        "node_nf_conntrack_stat_invalid": 13,
        "node_nf_conntrack_stat_ignore": 5,
        "node_nf_conntrack_stat_insert": 0,
        "node_nf_conntrack_stat_insert_failed": 2,
        "node_nf_conntrack_stat_drop": 2,
        "node_nf_conntrack_stat_early_drop": 4,
        "node_nf_conntrack_stat_search_restart": 11,
    }


def test_time_that_tasks_ran_and_waited(host: Host, put: Put, samples: Read) -> None:
    put(
        "proc/schedstat",
        "version 15\ntimestamp 15819019232\n"
        "cpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 2045936778163039 343796328169361 4767485306\n"
        "domain0 00000000,00000003 212499247 210112015\n",
    )

    found = samples(SchedStat(host).collect())

    assert found["node_schedstat_running_seconds_total"] == {'{cpu="0"}': 2045936.778163039}
    assert found["node_schedstat_waiting_seconds_total"] == {'{cpu="0"}': 343796.328169361}
    assert found["node_schedstat_timeslices_total"] == {'{cpu="0"}': 4767485306}


def test_throttling_is_counted_once_a_core_and_once_a_package(host: Host, put: Put, samples: Read) -> None:
    for cpu, core in ((0, 0), (1, 0), (2, 1)):  # cpu 1 is the other thread of core 0
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        put(f"{folder}/topology/physical_package_id", "0\n")
        put(f"{folder}/topology/core_id", f"{core}\n")
        put(f"{folder}/thermal_throttle/core_throttle_count", f"{5 + core}\n")
        put(f"{folder}/thermal_throttle/package_throttle_count", "30\n")
    put("sys/devices/system/cpu/isolated", "1-2\n")

    found = samples(Cpu(host).collect())

    assert found["node_cpu_core_throttles_total"] == {'{core="0",package="0"}': 5, '{core="1",package="0"}': 6}
    assert found["node_cpu_package_throttles_total"] == {'{package="0"}': 30}
    assert found["node_cpu_isolated"] == {'{cpu="1"}': 1, '{cpu="2"}': 1}


def test_lists_of_cpus() -> None:
    assert cpu_list("") == []
    assert cpu_list("1,3-5,9\n") == [1, 3, 4, 5, 9]


def test_frequencies_are_in_hertz(host: Host, put: Put, samples: Read) -> None:
    folder = "sys/devices/system/cpu/cpu0/cpufreq"
    for name, kilohertz in {
        "scaling_cur_freq": 1699981,
        "scaling_min_freq": 800000,
        "scaling_max_freq": 3700000,
    }.items():
        put(f"{folder}/{name}", f"{kilohertz}\n")
    put(f"{folder}/scaling_governor", "powersave\n")
    put(f"{folder}/scaling_available_governors", "performance powersave\n")

    found = samples(CpuFrequency(host).collect())

    assert found["node_cpu_scaling_frequency_hertz"] == {'{cpu="0"}': 1.699981e9}
    assert found["node_cpu_scaling_frequency_min_hertz"] == {'{cpu="0"}': 8e8}
    assert found["node_cpu_scaling_frequency_max_hertz"] == {'{cpu="0"}': 3.7e9}
    assert found["node_cpu_scaling_governor"] == {
        '{cpu="0",governor="performance"}': 0,
        '{cpu="0",governor="powersave"}': 1,
    }


def test_mains_and_battery(host: Host, put: Put, samples: Read) -> None:
    put("sys/class/power_supply/AC/online", "1\n")
    put("sys/class/power_supply/AC/type", "Mains\n")
    put("sys/class/power_supply/BAT0/capacity", "81\n")
    put("sys/class/power_supply/BAT0/voltage_now", "12229000\n")
    put("sys/class/power_supply/BAT0/temp", "301\n")
    put("sys/class/power_supply/BAT0/status", "Discharging\n")

    found = samples(PowerSupply(host).collect())

    assert found["node_power_supply_online"] == {'{power_supply="AC"}': 1}
    assert found["node_power_supply_capacity"] == {'{power_supply="BAT0"}': 81}
    assert found["node_power_supply_voltage_volt"] == {'{power_supply="BAT0"}': 12.229}
    assert found["node_power_supply_temp_celsius"] == {'{power_supply="BAT0"}': 30.1}
    assert found["node_power_supply_info"] == {
        '{power_supply="AC",type="Mains"}': 1,
        '{power_supply="BAT0",status="Discharging"}': 1,
    }


def test_the_board(host: Host, put: Put, samples: Read) -> None:
    put("sys/class/dmi/id/sys_vendor", "Dell Inc.\n")
    put("sys/class/dmi/id/bios_date", "04/12/2021\n")
    put("sys/class/dmi/id/uevent", "MODALIAS=dmi\n")
    put("sys/class/dmi/id/product_name", 'A "quoted" \\ name\n')

    assert samples(Dmi(host).collect())["node_dmi_info"] == {
        '{bios_date="04/12/2021",product_name="A \\"quoted\\" \\\\ name",system_vendor="Dell Inc."}': 1
    }


def test_disks_of_an_old_kernel_and_what_udev_knows(host: Host, put: Put, samples: Read) -> None:
    old = "25354637 34367663 1003346126 18492372 28444756 11134226 505697032 63877960 0 9653880 82621804"
    put(
        "proc/diskstats",
        f"   8       0 sda {old}\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n 252 0 dm-0 {old} 1 2 3 4 5 6\n",
    )
    put("root/run/udev/data/b8:0", "S:disk/by-id/x\nE:ID_MODEL=SuperMicro\nE:ID_SERIAL_SHORT=S42\nE:ID_WWN=0x5\n")
    put("root/run/udev/data/b252:0", "E:DM_NAME=vg0-root\nE:DM_VG_NAME=vg0\nE:DM_LV_NAME=root\nE:ID_FS_TYPE=ext4\n")

    found = samples(DiskStats(host).collect())

    assert found["node_disk_read_bytes_total"] == dict.fromkeys(['{device="sda"}', '{device="dm-0"}'], 1003346126 * 512)
    assert found["node_disk_write_time_seconds_total"]['{device="sda"}'] == 63877.96
    assert found["node_disk_io_time_weighted_seconds_total"]['{device="sda"}'] == 82621.804
    assert found["node_disk_discards_completed_total"] == {'{device="dm-0"}': 1}  # sda's kernel has none
    assert found["node_disk_discarded_sectors_total"] == {'{device="dm-0"}': 3}
    assert found["node_disk_flush_requests_time_seconds_total"] == {'{device="dm-0"}': 0.006}
    sda = '{device="sda",major="8",minor="0",serial="S42",model="SuperMicro",path="",revision="",wwn="0x5"}'
    assert found["node_disk_info"][sda] == 1
    mapper = '{device="dm-0",lv_layer="",lv_name="root",name="vg0-root",uuid="",vg_name="vg0"}'
    assert found["node_disk_device_mapper_info"] == {mapper: 1}
    assert found["node_disk_filesystem_info"] == {'{device="dm-0",type="ext4",usage="",uuid="",version=""}': 1}
