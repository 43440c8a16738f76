"""Syslog: the priority `<34>` alone, RFC 3164 (as BSD, rsyslog, busybox and HAProxy write it) and RFC 5424.

What a header says goes to ECS `log.syslog.*`; what follows it is the message.
"""

import re

from shipper.rules.ready_parts import MOST_PAIRS, put, put_number, unquoted
from shipper.rules.rows import Fields

SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""RFC 5424, table 2, by syslog(3)'s names."""
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", *(f"local{number}" for number in range(8)),
)  # fmt: skip
"""RFC 5424, table 1."""
_LEVELS = {"emerg": "emerg", "alert": "alert", "crit": "critical", "err": "error", "warn": "warning"}

_PRIORITY = re.compile(r"<(\d{1,3})>", re.A)
_RFC5424 = re.compile(r"1 (\S{1,64}+) (\S{1,255}+) (\S{1,128}+) (\S{1,128}+) (\S{1,128}+) (?:- ?|(?=\[))", re.A)
"""Docker's driver has the tag for the message id as well, which may be longer than the 32 of the RFC."""
_ELEMENT = re.compile(r'\[([^\s=\]"]{1,64}+)((?: [^\s=\]"]{1,64}+="(?:[^"\\]++|\\.)*+")*+) ?\]', re.S)
_PARAMETER = re.compile(r' ([^\s=\]"]{1,64}+)="((?:[^"\\]++|\\.)*+)"', re.S)
_BSD_TIME = r"[A-Z][a-z]{2} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_STAMP = re.compile(rf"({_BSD_TIME}|{_ISO_TIME}) ", re.A)
_HOST = re.compile(r"([\w.:-]{1,255}+) (?=\S)", re.A)
_BUSYBOX = re.compile(r"(kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|ntp|local[0-7])"
                      r"\.(emerg|panic|alert|crit|err|error|warn|warning|notice|info|debug) ")  # fmt: skip
_TAG = re.compile(r"([\w./()@+%-]{1,128}+)(?:\[([\w.-]{1,20}+)\])?: ?", re.A)


def syslog(text: str) -> Fields | None:
    """A line with a syslog header."""
    split = header(text)
    if split is None:
        return None
    found, start = split
    found["message"] = text[start:]
    return found


def header(text: str) -> tuple[Fields, int] | None:
    """What the header at the head of this line says, and where it ends. None where there is none."""
    found: Fields = {}
    start = _priority(text, found)
    if start:
        return found, _new(text, start, found) or _old(text, start, found, sure=True) or start
    end = _old(text, 0, found, sure=False)
    # A time alone in front of `word:` is many programs' form; in front of `word[1]:` or a BSD date it is syslog's.
    return (found, end) if end and ("process.pid" in found or not text[0].isdecimal()) else None


def _priority(text: str, found: Fields) -> int:
    matched = _PRIORITY.match(text)
    if matched is None or (number := int(matched[1])) >= len(FACILITIES) * 8:
        return 0
    found["log.syslog.priority"] = number
    # Below 8 it is nearly always what sd-daemon(3) writes, a level without a facility, and not the kernel.
    _put_severity(found, FACILITIES[number >> 3] if number > 7 else None, SEVERITIES[number & 7])
    return matched.end()


def _put_severity(found: Fields, facility: str | None, severity: str) -> None:
    put(found, "log.syslog.facility.name", facility)
    found["log.syslog.severity.name"] = severity
    found["log.level"] = _LEVELS.get(severity, severity)


def _new(text: str, start: int, found: Fields) -> int:
    """RFC 5424 after its priority; where it ends, 0 for none."""
    matched = _RFC5424.match(text, start)
    if matched is None:
        return 0
    time, host, app, process, message_id = matched.groups()
    put(found, "time", time)
    put(found, "log.syslog.hostname", host)
    put(found, "log.syslog.appname", app)
    put_number(found, "process.pid", process)
    put(found, "log.syslog.msgid", message_id)
    end = _structured(text, matched.end(), found)
    return end + 1 if text.startswith("\ufeff", end) else end


def _structured(text: str, start: int, found: Fields) -> int:
    """The elements, as long as there are no more than MOST_PAIRS parameters; what follows is left to the message."""
    end, count = start, 0
    while element := _ELEMENT.match(text, end):
        name, parameters = element.groups()
        said = _PARAMETER.findall(parameters)
        count += len(said) + 1
        if count > MOST_PAIRS:
            break
        for key, value in said:
            found[f"log.syslog.structured_data.{name}.{key}"] = unquoted(value.replace("\\]", "]"))
        end = element.end()
    return end + 1 if end > start and text.startswith(" ", end) else end


def _old(text: str, start: int, found: Fields, sure: bool) -> int:
    """RFC 3164 after its priority, if there was one; where it ends, 0 for none.

    The host may be missing (HAProxy leaves it out), and where a priority makes us sure, the program's name as well.
    """
    stamp = _STAMP.match(text, start)
    if stamp is None:
        return 0
    after = stamp.end()
    host = None if _TAG.match(text, after) else _HOST.match(text, after)
    after = host.end() if host else after
    if busybox := _BUSYBOX.match(text, after):
        _put_severity(found, busybox[1], busybox[2])
        after = busybox.end()
    tag = _TAG.match(text, after)
    if tag is None and not busybox and not (sure and host):
        return 0
    found["time"] = stamp[1]
    if host:
        found["log.syslog.hostname"] = host[1]
    if tag is None:
        return after
    put(found, "log.syslog.appname", tag[1])
    put_number(found, "process.pid", tag[2])
    return tag.end()
