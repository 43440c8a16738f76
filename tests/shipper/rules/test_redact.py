"""Secrets in lines: found in what people and programs write, hidden before anything keeps them, or withheld."""

import json
import random
import time
import uuid
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson
import pytest

from shipper.entries import Entries
from shipper.lines import LineMaker
from shipper.ruled import ruled_of
from shipper.rules import redact
from shipper.rules.chain import SERVICE, chain_of
from shipper.rules.hiding import Secrets, TooSlowError
from shipper.rules.ready_secrets import READY, luhn
from shipper.rules.rows import Rows
from shipper.rules.table import read
from towline.metrics import MEASURED, REGISTRY

STAMP = b"2026-11-23T00:25:00.123456789Z"
FIRST = STAMP + b"-q8Zk3xVwo"
ALL = ",".join(READY)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
MIB = 1 << 20


def rows(texts: Sequence[str], fields: Sequence[dict[str, Any] | None] = (), **columns: Any) -> Rows:
    count = len(texts)
    made = {"ids": [FIRST] * count, "flags": [()] * count, **columns}
    return Rows(stamps=[STAMP] * count, streams=[b"stdout"] * count, sequences=list(range(count)), texts=list(texts),
                fields=list(fields), **made)  # fmt: skip


def values(service: str = "web", **labels: str) -> dict[str, Any]:
    reading = read({f"towline.redact{name and '.'}{name.replace('_', '.')}": text for name, text in labels.items()},
                   redact.LABELS)  # fmt: skip
    return {**reading.values, SERVICE: service}


def kinds(names: str = ALL, service: str = "web") -> dict[str, Any]:
    return {**read({"towline.redact": names}, redact.LABELS).values, SERVICE: service}


def hidden(asked: dict[str, Any], *texts: str, **columns: Any) -> list[str]:
    step = redact.make_text(asked)
    assert step
    found = rows(texts, **columns)
    step(found)
    return found.texts


def hide(text: str, names: str = ALL) -> str:
    return hidden(kinds(names), text)[0]


def counted(service: str, kind: str) -> float:
    return REGISTRY.get_sample_value("towline_redactions_total", {"service": service, "kind": kind}) or 0.0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cards", "paid with 4111111111111111.", "paid with [card]."),
        ("cards", "4111 1111 1111 1111, 5500-0000-0000-0004", "[card], [card]"),
        ("cards", "amex 3782 822463 10005 diners 30569309025904", "amex [card] diners [card]"),
        ("cards", "2026-11-23 4111 1111 1111 1111 12", "2026-11-23 [card] 12"),
        ("cards", "card4111111111111111 \x1b[32m4111111111111111\x1b[0m", "card[card] \x1b[32m[card]\x1b[0m"),
        ("cards", "6304000000000000000 4222222222222 1234-5678-1234-5670", "[card] [card] [card]"),
        ("cards", "4111\u00a01111\u202f1111\u20111111", "[card]"),
        ("emails", "to Bob.O'Hara+x@mail.example.co.uk, ok", "to [email], ok"),
        ("emails", "müller@bücher.example GET /?m=bob%40example.com&x=1", "[email] GET /?m=[email]&x=1"),
        ("ips", "10.0.0.1:80 from [2001:db8::1]:443, ::1", "[ip]:80 from [[ip]]:443, [ip]"),
        ("ips", "ip:2001:db8:0:0:0:0:0:1 ::ffff:10.1.2.3 fe80::1%eth0.", "ip:[ip] [ip] [ip]%eth0."),
        ("tokens", "Authorization: Bearer abc.def-1", "Authorization: Bearer [token]"),
        ("tokens", "> authorization: Basic dXNlcjpwYXNz", "> authorization: Basic [token]"),
        ("tokens", '{"Authorization":"Bearer abc","a":1}', '{"Authorization":"Bearer [token]","a":1}'),
        ("tokens", "['Proxy-Authorization', 'Basic dTpw'] x", "['Proxy-Authorization', 'Basic [token]'] x"),
        ("tokens", 'Authorization: Digest username="bob", response="ab"', "Authorization: Digest [token]"),
        ("tokens", f"jwt={JWT}; bearer 0123456789abcdef", "jwt=[token]; bearer [token]"),
        ("tokens", "?access_token=s3&b=1 authorization=s3cr3ts3cr3", "?access_token=[token]&b=1 authorization=[token]"),
        ("aws-keys", "AKIAIOSFODNN7EXAMPLE ASIAIOSFODNN7EXAMPLE", "[aws-key] [aws-key]"),
        ("aws-keys", "aws_secret_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_key = [aws-key]"),
        ("aws-keys", '"SessionToken": "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3Qt"', '"SessionToken": "[aws-key]"'),
        ("url-passwords", "amqp://guest:gu@est@mq:5672/", "amqp://guest:[password]@mq:5672/"),
        ("url-passwords", "redis://:pw@cache, a", "redis://:[password]@cache, a"),
        ("url-passwords", "postgres://bob@corp:s3'cret@db/x?y=1", "postgres://bob@corp:[password]@db/x?y=1"),
    ],
)  # fmt: skip
def test_what_is_a_secret(name: str, text: str, expected: str) -> None:
    assert hide(text, name) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112 is no card",
        "at 1732359023 1732359023123 1732359023123456 1732359023123456789 ns",
        "GET 200 1732359023123 200 734 411 111 111 111 1111 17",
        "took 0.4111111111111111 s of 3.14159265358979",
        "id 550e8400-e29b-41d4-a716-446655440000 a4111111111111111f",
        "std::vector<int> a::b Foo::Bar 10:50:23.123 aa:bb:cc:dd:ee:ff",
        "version 1.2.3 of 1.2.3.4.5 or 300.1.1.1 and 1234.1.1.1",
        "root@localhost asked for name@sha256:abc and pkg@1.2.3",
        "authorization: denied, Bearer authentication failed, basic usage",
        "http://host:8080/path@x https://example.com/?a=b@c sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ],
)
def test_what_is_none(text: str) -> None:
    assert hide(text) == text


def test_all_kinds_at_once_don_t_hide_each_other() -> None:
    text = f"1234567890123456@example.com http://u:{JWT}@10.0.0.1/ AKIAIOSFODNN7EXAMPLE 4111111111111111"
    assert hide(text) == "[email] http://u:[password]@[ip]/ [aws-key] [card]"


def _luhn_by_the_book(digits: str) -> bool:
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(sum(divmod(each, 10)) for each in doubled) % 10 == 0


def test_luhn_is_as_in_the_standard_for_any_number() -> None:
    draw = random.Random(7)
    for _ in range(3000):
        digits = "".join(draw.choices("0123456789", k=draw.randint(1, 24)))
        assert luhn(digits.encode()) == _luhn_by_the_book(digits), digits


def test_any_card_number_is_hidden_and_none_with_a_wrong_digit() -> None:
    draw = random.Random(8)
    for _ in range(500):
        body = draw.choice("23456789") + "".join(draw.choices("0123456789", k=draw.randint(11, 17)))
        check = next(digit for digit in "0123456789" if _luhn_by_the_book(body + digit))
        wrong = body + str((int(check) + draw.randint(1, 9)) % 10)
        joint = draw.choice(["", " ", "-"])
        grouped = joint.join((body + check)[at : at + 4] for at in range(0, len(body) + 1, 4))
        assert hide(f"x={grouped};", "cards") == "x=[card];"
        assert hide(f"x={wrong};", "cards") == f"x={wrong};"


def test_hashes_and_uuids_are_left_alone() -> None:
    draw = random.Random(9)
    texts = [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(2000)]
    texts += [sha256(text.encode()).hexdigest() for text in texts]
    changed = [text for text, new in zip(texts, hidden(kinds("cards"), *texts), strict=True) if new != text]
    assert len(changed) <= 4, changed  # a number of 13 digits with a right check digit between two dashes may be one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"mail":"bob\u0040example.com","n":1.50}', '{"mail":"[email]","n":1.50}'),
        (r'{"url":"https:\/\/u:pw@host\/","a":"x\ny"}', r'{"url":"https://u:[password]@host/","a":"x\ny"}'),
        (r'{"log":"{\"to\":\"bob\\u0040example.com\"}","b":[1, 2]}', r'{"log":"{\"to\":\"[email]\"}","b":[1, 2]}'),
        (r'{"m":"card\n4111111111111111"}', r'{"m":"card\n[card]"}'),
        ('{"pan": 4111111111111111, "pan": 5, "id": 12345678901234567890123}',
         '{"pan": "[card]", "pan": 5, "id": 12345678901234567890123}'),
        ('[4111111111111111,"a"]', '["[card]","a"]'),
        (r'{"pan":4111111111111111,"h":{"Authorization":"Basic dTpw"},"p":"C:\\new"}',
         r'{"pan":"[card]","h":{"Authorization":"Basic [token]"},"p":"C:\\new"}'),
    ],
)  # fmt: skip
def test_a_json_line_stays_json_and_is_hidden_in_as_it_reads(text: str, expected: str) -> None:
    found = hide(text)
    assert found == expected
    json.loads(found)


def test_escapes_in_what_is_no_json() -> None:
    assert hide(r'INFO sent {"to":"bob\u0040example.com"} C:\x') == 'INFO sent {"to":"[email]"} C:x'
    assert hide(r"C:\temp\new \d+ nothing to see") == r"C:\temp\new \d+ nothing to see"


def test_no_spelling_of_json_brings_a_secret_through() -> None:
    draw = random.Random(10)
    secrets = ["bob@example.com", "4111111111111111", "10.20.30.40", "https://u:hush@host/"]
    for _ in range(300):
        secret = draw.choice(secrets)
        spelt = "".join(f"\\u{ord(sign):04x}" if draw.random() < 0.3 else sign for sign in secret)
        text = draw.choice(['{"a":{"%s":[1]}}', '{"a":"x %s y","b":"\\n"}', '["\\t","%s"]']) % spelt
        shown = json.dumps(json.loads(hide(text)))
        assert not any(each in shown for each in [*secrets, "hush"]), (text, shown)


@pytest.mark.parametrize("sign", ["\x1e", "\n", "\x00", "\ud800", "é", "\\"])
def test_signs_that_mean_something_to_us_in_a_line(sign: str) -> None:
    found = hidden(kinds("emails"), f"a{sign}b", f"to bob@example.com{sign}{sign} x", "plain")
    assert found[0] in (f"a{sign}b", "a?b")  # half a character is none
    assert found[1].startswith("to [email]")
    assert "bob" not in found[1]
    assert found[2] == "plain"


def test_a_pattern_hides_its_named_groups_or_all_it_finds() -> None:
    text = "session=abc123 user=bob PIN 1234 pin 99"
    asked = values(pattern_session=r"session=(?P<id>\w+)")
    assert hidden(asked, text) == ["session=[session] user=bob PIN 1234 pin 99"]
    assert hidden(values(pattern=r"(?i)(pin) \d+"), text) == ["session=abc123 user=bob [redacted] [redacted]"]
    assert hidden(values(pattern_a=r"^session=(?P<x>\w)(?P<y>\w)"), text)[0].startswith("session=[a][a]c123")
    assert hidden(values(pattern=r"x*"), text) == [text]


def test_what_is_hidden_already_is_not_hidden_again_but_a_secret_that_looks_like_the_word_is() -> None:
    once = hide("http://u:password@h/ Authorization: Bearer token a@b.de")
    assert once == "http://u:[password]@h/ Authorization: Bearer [token] [email]"
    assert hidden(kinds(service="again"), once) == [once]
    assert [counted("again", kind) for kind in READY] == [0] * len(READY)


def test_numbers_are_hidden_from_a_pattern_too() -> None:
    step = redact.make_fields(values(pattern_ssn=r"\b\d{9}\b"))
    found = rows(["m"], [{"ssn": 123456789, "other": 12.5, "ok": True, "none": None}])
    assert step
    step(found)
    assert found.fields == [{"ssn": "[ssn]", "other": 12.5, "ok": True, "none": None}]


def test_fields_are_looked_through_in_values_names_and_numbers() -> None:
    asked = kinds(service="fields")
    step = redact.make_fields(asked)
    plain = {"http.response.status_code": 200, "took": 0.5, "big": 1732359023123456789}
    secret = {
        "mail": ["a", {"bob@example.com": "x", "eve@example.com": "y"}], "pan": 4111111111111111,
        "pan2": 4111111111111111.0, "client.ip": "10.0.0.1", "ok": 1,
    }  # fmt: skip
    found = rows(["one", "bob@example.com", "eve@example.com"], [dict(plain), secret, None])
    assert step
    step(found)
    expected = {
        "mail": ["a", {"[email]": "x", "[email]#2": "y"}], "pan": "[card]", "pan2": "[card]", "client.ip": "[ip]",
        "ok": 1,
    }  # fmt: skip
    assert found.fields == [plain, expected, None]
    assert found.texts == ["one", "[email]", "eve@example.com"]  # the last one was not parsed, so it is as it was read
    assert (counted("fields", "emails"), counted("fields", "cards")) == (3, 2)


def test_both_steps_around_a_parser_leave_no_secret() -> None:
    def parse(found: Rows) -> None:
        found.fields = [orjson.loads(text) for text in found.texts]

    parse.name = "parse"  # type: ignore[attr-defined]
    makes: Any = [redact.make_text, lambda values: parse, redact.make_fields]
    chain = chain_of(kinds(), makes, "around")
    found = rows([r'{"to":"bob\u0040example.com","pan":4111111111111111,"n":7}'])
    assert chain
    chain.apply(found)
    assert found.fields == [{"to": "[email]", "pan": "[card]", "n": 7}]
    assert b"bob" not in found.documents()
    assert found.flags == [()]


def test_redactions_are_counted_by_kind() -> None:
    texts = [
        "a@b.de c@d.de 4111111111111111",
        r"x\u0040b.de",
        "nothing",
        r'{"pan":4111111111111111,"to":"x\u0040b.de"}',
    ]
    hidden(kinds(service="counts"), *texts)
    assert [counted("counts", kind) for kind in ("emails", "cards", "ips")] == [4, 2, 0]


class _Breaks:
    """A pattern that fails over some texts."""

    pattern, groupindex = r"\A", dict[str, int]()

    def search(self, data: bytes) -> Any:
        if b"boom" in data:
            raise MemoryError(data)


def test_a_line_that_can_t_be_looked_through_is_withheld_and_its_neighbours_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = {"towline.redact": ("emails",), "towline.redact.pattern": {"x": _Breaks()}, SERVICE: "withheld"}
    step, after = redact.make_text(asked), redact.make_fields(asked)
    found = rows(["to bob@example.com", "boom secret", "fine"], [None, {"a": "boom"}, {"b": "boom"}])
    assert step
    assert after
    step(found)
    assert found.texts == ["to [email]", redact.WITHHELD, "fine"]
    assert found.fields == [None, None, {"b": "boom"}]
    after(found)
    assert found.texts == ["to [email]", redact.WITHHELD, redact.WITHHELD]
    assert found.fields == [None, None, None]
    assert found.flags == [(), ("withheld",), ("withheld",)]
    assert counted("withheld", "withheld") == 2
    assert counted("withheld", "emails") == 1
    assert "secret" not in caplog.text


def test_a_pattern_that_can_t_be_read_withholds_all_and_is_named() -> None:
    reading = read({"towline.redact.pattern.x": "(?<=a)b"}, redact.LABELS)
    assert "towline.redact.pattern.x" in reading.problems[0]
    assert hidden({**reading.values, SERVICE: "web"}, "a line", "ab") == [redact.WITHHELD] * 2


def test_an_unknown_word_hides_all_ready_kinds_and_is_named() -> None:
    reading = read({"towline.redact": "emials"}, redact.LABELS)
    assert "cards" in reading.problems[0]
    assert hidden({**reading.values, SERVICE: "web"}, "bob@example.com 10.0.0.1") == ["[email] [ip]"]


def test_nothing_asked_is_no_step() -> None:
    assert redact.make_text({SERVICE: "web"}) is None
    assert redact.make_fields({SERVICE: "web"}) is None


def test_a_secret_across_two_pieces_of_a_long_line_is_in_neither() -> None:
    for secret in ("4111 1111 1111 1111", "bob@mail.example.com", "Authorization: Basic dXNlcjpwYXNzd29yZA==", JWT):
        line = "level=info " + "word " * 200 + secret + " word" * 200
        place = line.index(secret)
        for cut in range(place, place + len(secret) + 1):
            found = hidden(kinds(), line[:cut], line[cut:], ids=[FIRST, FIRST + b"1"], flags=[("split",)] * 2)
            assert found[0].startswith("level=info word")
            assert found[0].endswith("[cut]")
            assert found[1].startswith("[cut]")
            parts = {part.replace("[cut]", "") for each in found for part in each.split()} - {"level=info"}
            assert all(part in "word" for part in parts), (cut, parts)


def test_pieces_that_the_shipper_makes_are_cut_where_it_cuts_them() -> None:
    maker = LineMaker("c" * 64, 300, ruled=ruled_of(kinds("cards"), "cut", 300))
    text = b"begin " + b"word " * 57 + b"4111 1111 1111 1111 " + b"word " * 80 + b"end"
    lines = maker.feed(Entries([STAMP, STAMP[:-4] + b"999Z"], [text, b"next 4111111111111111"], b"stdout"))
    assert lines
    found = [json.loads(line)["message"] for line in lines.docs.replace(b"\x1e", b"").splitlines()[1::2]]
    assert len(found) == 4
    assert found[0].startswith("begin word")
    assert [text.startswith("[cut]") for text in found] == [False, True, True, False]
    assert [text.endswith("[cut]") for text in found] == [True, True, True, False]
    assert "1111" not in str(found)
    assert found[3] == "next [card]"


def test_a_short_piece_is_cut_whole() -> None:
    found = hidden(kinds(), "4111 1111", "1111 1111", ids=[FIRST, FIRST + b"1"], flags=[("split",)] * 2)
    assert "1111" not in "".join(found)


HOSTILE = {
    "digits": "4" * MIB, "spaced digits": "411 " * (MIB // 4), "groups": "4111-" * (MIB // 5), "at": "a@" * (MIB // 2),
    "dots": "1." * (MIB // 2), "colons": ":" * MIB, "hex": "a:" * (MIB // 2), "v6": "::1 " * (MIB // 4),
    "local part": "a" * MIB + "@", "backslashes": "\\" * MIB, "escapes": r"\u0040" * (MIB // 6),
    "quotes": '{"' + '\\"' * (MIB // 2), "json": '{"a":4111111111111111,"b":[' + '"x",' * (MIB // 4) + '"\\n"]}',
    "nested": "[" * MIB, "authorization": "authorization: " * (MIB // 15), "bearer": "bearer " * (MIB // 7),
    "jwt": "eyJ." * (MIB // 4), "urls": "a://b:" * (MIB // 6), "urls of one host": "a://" + "b:@" * (MIB // 3),
    "separators": "\x1e" * MIB + "a@b.de", "secret": "secretaccesskey=" * (MIB // 16),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_line_of_a_mebibyte_takes_bounded_cpu(name: str) -> None:
    """Linear, so far below the minutes that a square would take, on any machine."""
    began = time.thread_time()
    hide(HOSTILE[name])
    assert time.thread_time() - began < 20


def test_a_pattern_that_takes_too_long_for_a_line_is_given_up() -> None:
    ticks = iter(range(1000))
    regex = values(pattern=r"\w")["towline.redact.pattern"][""]
    secrets = Secrets([], [redact.kind_of("", regex)], clock=lambda: next(ticks))
    assert secrets.texts(["short"])[0] == ["[redacted]" * 5]
    with pytest.raises(TooSlowError):
        secrets.texts(["x" * 200])


def test_a_pattern_whose_time_per_line_would_not_be_bounded_is_refused() -> None:
    reading = read({"towline.redact.pattern.x": r"(?i)(\pL{1,40}\s){8}Z"}, redact.LABELS)
    assert "too large" in reading.problems[0]


def test_through_all_that_labels_ask_for_no_secret_reaches_a_document_or_a_metric() -> None:
    labels = {"towline.parse": "json,logfmt,nginx",
              "towline.redact": ALL, "towline.metric.to": "counter by to,client.ip",
              "towline.redact.pattern.pin": r"pin=(?P<pin>\d+)"}  # fmt: skip
    reading = read(labels)
    assert reading.problems == []
    ruled = ruled_of(reading.values, "through", MIB)
    assert ruled
    lines = [
        r'{"to":"bob\u0040example.com","pan":4111111111111111,"message":"pin=1234\tto 10.9.8.7"}',
        r'{"h":{"Authorization":"Bearer s3cr3t"},"l":[{"u":"https:\/\/u:hush@h\/"}],"pan":"4111\u00201111 1111 1111"}',
        r'level=info to=bob@example.com msg="pin=1234 card 4111-1111-1111-1111 \"kim@example.com\""',
        '10.9.8.7 - bob@example.com [23/Nov/2026:00:25:00 +0000] "GET /?m=bob%40example.com HTTP/1.1" 200 5 "-" "curl"',
        "pin=1234 panic for bob@example.com",
    ]  # fmt: skip
    stamps = [b"2026-11-23T00:25:00.%09dZ" % number for number in range(len(lines))]
    texts = [orjson.dumps(line)[1:-1] for line in lines]
    ruled.columns([stamp + b"-q8Zk3xVwo" for stamp in stamps], stamps, b"stdout", 1, texts)
    docs, _, dropped = ruled.take()
    shown = docs.decode() + str(list(MEASURED.collect()))
    assert dropped == 0
    assert docs.count(b"\n") == 2 * len(lines)
    for secret in ("bob", "kim", "example", "4111", "1111", "s3cr3t", "hush", "1234", "10.9.8.7"):
        assert secret not in shown, secret
    assert '"to":"[email]"' in shown
    assert all(f"[{word}]" in shown for word in ("card", "email", "ip", "token", "password", "pin"))
