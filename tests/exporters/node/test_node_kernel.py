"""Parsers on text as kernels write it, and what must not go backwards."""

from collections.abc import Callable, Iterable

import pytest

from exporters.exposition import Family
from exporters.node import Host, HostUnreadable, collectors
from exporters.node.facts import Uname, parse_os_release
from exporters.node.interrupts import parse as parse_interrupts
from exporters.node.meminfo import parse as parse_meminfo
from exporters.node.netclass import NetClass
from exporters.node.netdev import NetDev
from exporters.node.netdev import parse as parse_netdev
from exporters.node.netstat import parse6
from exporters.node.pressure import Pressure
from exporters.node.processes import Processes
from exporters.node.processes import parse as parse_process
from exporters.node.softnet import parse as parse_softnet
from exporters.node.stat import OnlyForward, Stat
from exporters.node.tcpstat import parse as parse_tcp
from exporters.node.timex import Clock, TimeKeeping, Timex
from exporters.node.udpqueues import parse as parse_udp
from exporters.scrape import Scrape
from towline.errors import UsageError

Put = Callable[[str, str], None]
Read = Callable[[Iterable[Family]], dict[str, dict[str, float]]]


def test_time_of_a_cpu_never_goes_back_but_begins_anew_when_it_was_unplugged(
    host: Host, put: Put, samples: Read
) -> None:
    stat = Stat(host, ticks_per_second=100)

    def scrape(idle: int, iowait: int) -> tuple[float, float]:
        put("proc/stat", f"cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 0 50 {idle} {iowait} 0 0 0 0 0\nintr 7 1 2\n")
        seconds = samples(stat.collect())["node_cpu_seconds_total"]
        return seconds['{cpu="0",mode="idle"}'], seconds['{cpu="0",mode="iowait"}']

    assert scrape(1000, 500) == (10.0, 5.0)
    assert scrape(990, 499) == (10.0, 5.0)  # the kernel's idle and iowait do that
    assert scrape(1010, 510) == (10.1, 5.1)
    assert scrape(710, 3) == (7.1, 0.03)  # idle is three seconds back: another CPU, in truth


def test_a_cpu_that_went_offline_is_no_longer_told() -> None:
    forward = OnlyForward(300)
    both = forward({"0": [1] * 10, "1": [2] * 10})
    assert set(both) == {"0", "1"}
    assert forward({"1": [1] * 10}) == {"1": [2] * 10}


def test_memory_in_kilobytes_becomes_bytes_and_pages_stay() -> None:
    raw = b"MemTotal:       3742148 kB\nActive(anon):    10 kB\nHugePages_Total:       4\nHugepagesize:       2048 kB\n"
    assert parse_meminfo(raw) == {
        "MemTotal_bytes": 3742148 * 1024,
        "Active_anon_bytes": 10240,
        "HugePages_Total": 4,
        "Hugepagesize_bytes": 2048 * 1024,
    }


def test_interfaces_whose_names_hold_colons_or_touch_their_counts() -> None:
    heading = "Inter-|   Receive\n face |bytes\n"
    counts = " ".join(map(str, range(1, 17)))
    found = parse_netdev(f"{heading}eth0:{counts}\n  eth0:1: {counts}\n".encode())
    assert found == {"eth0": list(range(1, 17)), "eth0:1": list(range(1, 17))}


def test_the_ends_of_containers_are_left_out_and_other_veths_stay(host: Host, put: Put, samples: Read) -> None:
    zeros = " 0" * 16
    put("proc/1/net/dev", f"a\nb\nvethab12cd3:{zeros}\nveth-lab:{zeros}\nveth0:{zeros}\n")
    put("sys/class/net/veth0/statistics/rx_nohandler", "7\n")

    found = samples(NetDev(host).collect())

    assert set(found["node_network_receive_bytes_total"]) == {'{device="veth-lab"}', '{device="veth0"}'}
    assert found["node_network_receive_nohandler_total"] == {'{device="veth0"}': 7}


def test_a_link_that_is_down_has_no_carrier_and_no_speed_but_is_there(host: Host, put: Put, samples: Read) -> None:
    put("sys/class/net/eth0/operstate", "down\n")
    put("sys/class/net/eth0/flags", "0x1002\n")
    put("sys/class/net/eth0/mtu", "1500\n")
    put("sys/class/net/eth1/operstate", "up\n")
    put("sys/class/net/eth1/speed", "1000\n")
    put("sys/class/net/bonding_masters", "")

    found = samples(NetClass(host).collect())

    assert found["node_network_up"] == {'{device="eth0"}': 0, '{device="eth1"}': 1}
    assert found["node_network_flags"] == {'{device="eth0"}': 0x1002}
    assert found["node_network_speed_bytes"] == {'{device="eth1"}': 125_000_000}
    assert "node_network_carrier" not in found


def test_settings_of_interfaces_are_read_again_after_a_minute(host: Host, put: Put, samples: Read) -> None:
    now = 0.0
    netclass = NetClass(host, clock=lambda: now)
    put("sys/class/net/eth0/operstate", "up\n")
    put("sys/class/net/eth0/tx_queue_len", "1000\n")
    samples(netclass.collect())
    put("sys/class/net/eth0/operstate", "down\n")
    put("sys/class/net/eth0/tx_queue_len", "2000\n")

    soon = samples(netclass.collect())
    now = 60.0
    later = samples(netclass.collect())

    assert soon["node_network_up"] == later["node_network_up"] == {'{device="eth0"}': 0}
    assert soon["node_network_transmit_queue_length"] == {'{device="eth0"}': 1000}
    assert later["node_network_transmit_queue_length"] == {'{device="eth0"}': 2000}


def test_ipv6_statistics_are_split_at_the_six() -> None:
    raw = b"Ip6InOctets    12\nIp6InReceives 1\nUdpLite6InErrors  3\nUdp6NoPorts\t5\nIcmp6InMsgs 4\nNothing 5\n"
    found = [("Ip6", "InOctets", 12), ("UdpLite6", "InErrors", 3), ("Udp6", "NoPorts", 5), ("Icmp6", "InMsgs", 4)]
    assert list(parse6(raw)) == found


def test_softnet_lines_name_their_cpu_since_5_14() -> None:
    new = b"00000010 00000001 00000002 " + b"00000000 " * 5 + b"00000003 00000004 00000005 00000006 00000007 0 0\n"
    old = b"00000010 00000001 00000002 " + b"00000000 " * 5 + b"00000003 00000004\n"
    assert parse_softnet(new) == {7: [16, 1, 2, 3, 4, 5, 6]}
    assert parse_softnet(old + old)[1] == [16, 1, 2, 3, 4, None, None]


def test_a_kernel_without_pressure_and_one_with_only_some(host: Host, put: Put, samples: Read) -> None:
    assert samples(Pressure(host).collect()) == {}
    put("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781\n")
    put("proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=8494\n")

    found = samples(Pressure(host).collect())

    assert found == {
        "node_pressure_cpu_waiting_seconds_total": {"": 14.036781},
        "node_pressure_irq_stalled_seconds_total": {"": 0.008494},
    }


def test_a_process_may_be_called_anything() -> None:
    fields = " ".join(str(number) for number in range(4, 50))
    assert parse_process(f"42 (a) R (b) c) S {fields}".encode()) == ("S", 20)


def test_processes_and_their_limits(host: Host, put: Put, samples: Read) -> None:
    fields = " ".join(str(number) for number in range(4, 50))
    put("proc/1/stat", f"1 (init) S {fields}")
    put("proc/2/stat", f"2 (kthreadd) I {fields}")
    put("proc/sys/kernel/threads-max", "7801\n")
    put("proc/sys/kernel/pid_max", "123\n")

    found = samples(Processes(host).collect())

    assert found["node_processes_state"] == {'{state="S"}': 1, '{state="I"}': 1}
    assert found["node_processes_pids"] == {"": 2}
    assert found["node_processes_threads"] == {"": 40}
    assert found["node_processes_max_threads"] == {"": 7801}
    assert found["node_processes_max_processes"] == {"": 123}


def test_interrupts_by_number_and_by_name() -> None:
    raw = (
        b"           CPU0       CPU1\n  24:          1          0  IO-APIC   5-edge      ACPI:Ged\n"
        b" NMI:          2          3   Non-maskable interrupts\n ERR:          0\n"
    )
    assert list(parse_interrupts(raw)) == [
        ("24", "IO-APIC", "5-edge ACPI:Ged", [1, 0]),
        ("NMI", "Non-maskable interrupts", "", [2, 3]),
    ]


def test_connections_by_state_and_bytes_in_queues() -> None:
    heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = "   0: 0100007F:1F90 00000000:0000 {} 00000000:{:08X} 00:00000000 00000000     0        0 1 1 0\n"
    # The five of the listening socket are connections.
    raw = (heading + line.format("0A", 5) + line.format("01", 17) + line.format("01", 3)).encode()
    assert parse_tcp(raw) == {"listen": 1, "established": 2, "rx_queued_bytes": 20, "tx_queued_bytes": 0}


def test_bytes_in_udp_queues() -> None:
    heading = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n"
    line = " 1234: 0100007F:0035 00000000:0000 07 00000015:00000100 00:00000000 00000000  1 0 2 2 f 0\n"
    assert parse_udp((heading + line + line).encode()) == (42, 512)


def test_clock_in_nanoseconds_and_not_synchronised(host: Host, samples: Read) -> None:
    timex = Timex(status=0x2000 | 0x40, offset=1_500_000_000, maxerror=16_000_000, tick=10000, freq=65536, tai=37)

    found = samples(TimeKeeping(host, lambda: Clock(5, timex)).collect())

    assert found["node_timex_sync_status"] == {"": 0}
    assert found["node_timex_offset_seconds"] == {"": 1.5}
    assert found["node_timex_maxerror_seconds"] == {"": 16}
    assert found["node_timex_tick_seconds"] == {"": 0.01}
    assert found["node_timex_frequency_adjustment_ratio"] == {"": 1.000001}
    assert found["node_timex_tai_offset_seconds"] == {"": 37}


def test_os_release_is_shell() -> None:
    raw = b'# c\nID=debian\nNAME="Debian GNU/Linux"\nVERSION_ID=\'12\'\nHOME_URL=\nBROKEN="open\n\n'
    assert parse_os_release(raw) == {
        "ID": "debian",
        "NAME": "Debian GNU/Linux",
        "VERSION_ID": "12",
        "HOME_URL": "",
        "BROKEN": '"open',
    }


def test_the_name_of_the_host_is_not_that_of_the_container(host: Host, put: Put, samples: Read) -> None:
    put("root/etc/hostname", "node-7\n")
    (block,) = samples(Uname(host).collect())["node_uname_info"]
    assert 'nodename="node-7"' in block


def test_a_folder_where_no_host_is_mounted_is_a_failure_of_each_collector_that_needs_it(
    host: Host, samples: Read, caplog: pytest.LogCaptureFixture
) -> None:
    scrape = Scrape("node", collectors(host, also=["tcpstat"]))
    found = samples(scrape.families())
    samples(scrape.families())

    success = found["node_scrape_collector_success"]
    for name in ("stat", "meminfo", "loadavg", "netdev", "netclass", "diskstats", "filesystem", "vmstat", "tcpstat"):
        assert success[f'{{collector="{name}"}}'] == 0, name
    for name in ("hwmon", "conntrack", "schedstat", "thermal_zone", "powersupplyclass", "timex", "time", "textfile"):
        assert success[f'{{collector="{name}"}}'] == 1, name
    told = [record.getMessage() for record in caplog.records]
    assert sum("/proc/stat (No such file" in message for message in told) == 1, "told once"
    assert all(record.exc_info is None for record in caplog.records), "a traceback for what a person can mend"


def test_a_name_that_no_collector_has_is_wrong_usage(host: Host) -> None:
    with pytest.raises(UsageError, match="no collector is called systemd; there are arp, "):
        collectors(host, also=["systemd"])
    names = [collector.name for collector in collectors(host, also=["processes"], without=["arp"])]
    assert "processes" in names
    assert "arp" not in names


def test_a_missing_file_is_told_with_its_path(host: Host) -> None:
    with pytest.raises(HostUnreadable, match=r"can't read .*/proc/stat \(No such file or directory\)"):
        list(Stat(host).collect())
