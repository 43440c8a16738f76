"""What the ready parsers of servers, languages and syslog find in a record: message, level, error and trace."""

import pytest

from shipper.rules.ready import READY


def fields(name: str, text: str) -> dict[str, object]:
    found = READY[name](text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("2026-11-23 10:00:00.123 UTC [42] ", {"process.pid": 42}),
        ("2026-11-23 10:00:00.123 UTC [42] ann@shop ", {"process.pid": 42, "user.name": "ann", "db.name": "shop"}),
        (
            "2026-11-23 10:00:00 UTC [42]: [3-1] user=ann,db=shop,app=psql,client=10.0.0.7 ",
            {"process.pid": 42, "user.name": "ann", "db.name": "shop", "client.ip": "10.0.0.7",
             "postgresql.log.application_name": "psql"},
        ),
        (
            "2026-11-23 10:00:00 UTC:10.0.0.7(51012):ann@shop:[42]:",
            {"process.pid": 42, "user.name": "ann", "db.name": "shop", "client.ip": "10.0.0.7", "source.port": 51012},
        ),
        ("2026-11-23 10:00:00 UTC:[local]:[unknown]@[unknown]:[42]:", {"process.pid": 42}),
        ("", {}),
    ],
)  # fmt: skip
def test_postgresql_reads_who_and_where_from_any_prefix(prefix: str, expected: dict[str, object]) -> None:
    found = fields("postgresql", prefix + 'ERROR:  relation "nothere" does not exist at character 15')
    assert found.pop("message") == 'relation "nothere" does not exist at character 15'
    assert found.pop("log.level") == "error"
    assert found.pop("time", "") == prefix[: prefix.find("UTC") + 3]
    assert {name: found[name] for name in expected} == expected
    assert ("user.name" in found) == ("user.name" in expected)


def test_postgresql_takes_a_slow_statement_s_time_and_an_sqlstate() -> None:
    slow = fields("postgresql", "2026-11-23 10:00:00.123 UTC [42] LOG:  duration: 21.042 ms  statement: select 1")
    assert slow["event.duration"] == 21_042_000
    assert slow["log.level"] == "info"
    state = fields("postgresql", "<2026-11-23 10:00:00.123 UTC> ERROR:  42P01: relation does not exist")
    assert (state["error.code"], state["message"]) == ("42P01", "relation does not exist")


def test_a_hint_of_postgresql_is_part_of_what_came_before_and_has_no_level_of_its_own() -> None:
    found = fields("postgresql", "2026-11-23 10:00:00.123 UTC [42] HINT:  No function matches.")
    assert found["postgresql.log.part"] == "hint"
    assert "log.level" not in found


def test_rabbitmq_names_who_connects() -> None:
    found = fields(
        "rabbitmq",
        "2026-11-23 10:00:00.123456+00:00 [warning] <0.850.0> closing AMQP connection <0.850.0> "
        "(10.0.0.7:51012 -> 10.0.0.2:5672, vhost: '/', user: 'guest')",
    )
    assert found["log.level"] == "warning"
    assert found["rabbitmq.log.pid"] == "0.850.0"
    assert (found["client.ip"], found["source.port"], found["destination.port"]) == ("10.0.0.7", 51012, 5672)
    assert (found["user.name"], found["rabbitmq.log.vhost"]) == ("guest", "/")


def test_redis_has_its_level_and_role() -> None:
    assert fields("redis", "7:M 23 Nov 2026 10:00:00.123 # Server initialized") == {
        "time": "23 Nov 2026 10:00:00.123",
        "process.pid": 7,
        "log.level": "warning",
        "redis.log.role": "master",
        "message": "Server initialized",
    }


def test_consul_s_pairs_become_fields_and_stay_in_the_message() -> None:
    found = fields(
        "consul",
        '2021-09-29T02:44:24.967Z [ERROR] agent.http: Request error: method=GET url=/v1/kv/x error="No cluster leader"',
    )
    assert found["log.logger"] == "agent.http"
    assert found["error.message"] == "No cluster leader"
    assert found["consul.url"] == "/v1/kv/x"
    assert str(found["message"]).endswith('error="No cluster leader"')


def test_elasticsearch_s_trace_goes_to_the_error() -> None:
    found = fields(
        "elasticsearch",
        "[2026-11-23T10:00:00,123][WARN ][o.e.c.Coordinator        ] [node-1] failed\n"
        "org.elasticsearch.Oops: no master\n\tat org.elasticsearch.A.b(A.java:1)\nCaused by: a.B: c\n\t... 1 more",
    )
    assert (found["log.level"], found["log.logger"]) == ("warn", "o.e.c.Coordinator")
    assert (found["error.type"], found["error.message"]) == ("org.elasticsearch.Oops", "no master")
    assert str(found["error.stack_trace"]).startswith("org.elasticsearch.Oops: no master\n\tat")
    assert str(found["message"]).startswith("failed\norg.elasticsearch.Oops")


def test_a_java_exception_s_message_may_have_several_lines() -> None:
    trace = 'Exception in thread "main" a.b.Bad: one\ntwo: 2\n\nfour'
    trace += "\n\tat a.b.C.main(C.java:1)\nCaused by: a.X: y\n\tat a.D.e(D.java:2)"
    assert fields("java", trace) == {
        "process.thread.name": "main",
        "error.type": "a.b.Bad",
        "error.message": "one\ntwo: 2\n\nfour",
        "error.stack_trace": trace,
        "log.level": "error",
    }


@pytest.mark.parametrize(
    ("said", "expected"), [("12:05:09 AM", "00:05:09"), ("1:05:09 PM", "13:05:09"), ("12:05:09 PM", "12:05:09")]
)
def test_java_util_logging_s_half_days_become_hours(said: str, expected: str) -> None:
    found = fields("java", f"Nov 3, 2026 {said} a.b.C <init>\nSEVERE: order failed")
    assert found["time"] == f"03 Nov 2026 {expected}"
    assert (found["log.level"], found["message"], found["log.origin.function"]) == ("error", "order failed", "<init>")


def test_klog_s_day_is_written_so_that_it_can_be_read() -> None:
    found = fields("go", 'I1123 11:34:51.062107       1 main.go:53] "Pod updated" pod="kube-system/dns"')
    assert (found["time"], found["log.level"], found["pod"]) == ("Nov 23 11:34:51.062107", "info", "kube-system/dns")


def test_a_python_traceback_tells_what_was_raised_last() -> None:
    trace = (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\nKeyError: 'x1'\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\n    f()\nshop.Bad: no order\nx1'
    )
    found = fields("python", "2026-11-23 10:00:00,123 - shop - ERROR - order failed\n" + trace)
    assert (found["time"], found["log.logger"], found["log.level"]) == ("2026-11-23 10:00:00,123", "shop", "error")
    assert (found["error.type"], found["error.message"]) == ("shop.Bad", "no order\nx1")
    assert found["error.stack_trace"] == trace
    assert found["message"] == "order failed\n" + trace


def test_a_traceback_cut_off_before_its_end_has_no_made_up_error() -> None:
    assert READY["python"]('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x()') is None


def test_a_go_panic_is_fatal_and_one_that_a_server_survived_is_an_error() -> None:
    panic = "panic: runtime error: index out of range [5] with length 1"
    panic += "\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1"
    assert fields("go", panic) == {
        "log.level": "fatal",
        "error.type": "panic",
        "error.message": "runtime error: index out of range [5] with length 1",
        "process.thread.id": 1,
        "error.stack_trace": panic,
    }
    survived = (
        "2026/11/23 10:00:00 http: panic serving 10.0.0.7:51012: boom\ngoroutine 7 [running]:\nnet/http.x()\n\t/b.go:2"
    )
    found = fields("go", survived)
    assert (found["log.level"], found["error.message"], found["time"]) == ("error", "boom", "2026/11/23 10:00:00")


def test_a_pair_named_like_the_message_can_t_replace_it() -> None:
    found = fields("go", "time=2026-11-23T10:00:00.000Z level=INFO msg=true message=forged time=1970 error=a err=b")
    assert (found["message"], found["time"], found["error.message"]) == ("true", "2026-11-23T10:00:00.000Z", "a")
    assert (found["go.message"], found["time_"], found["go.err"]) == ("forged", "1970", "b")


def test_a_syslog_header_gives_severity_facility_and_structured_data() -> None:
    found = fields(
        "syslog", '<165>1 2003-10-11T22:14:15.003Z web-1 shop 7 ID47 [a@1 x="1" y="\\"2\\]"][b z="3"] \ufeffhello'
    )
    assert found == {
        "time": "2003-10-11T22:14:15.003Z",
        "log.level": "notice",
        "log.syslog.priority": 165,
        "log.syslog.facility.name": "local4",
        "log.syslog.severity.name": "notice",
        "log.syslog.hostname": "web-1",
        "log.syslog.appname": "shop",
        "process.pid": 7,
        "log.syslog.msgid": "ID47",
        "log.syslog.structured_data.a@1.x": "1",
        "log.syslog.structured_data.a@1.y": '"2]',
        "log.syslog.structured_data.b.z": "3",
        "message": "hello",
    }


def test_ten_thousand_keys_make_no_ten_thousand_fields() -> None:
    many = " ".join(f'k{n}="{n}"' for n in range(10_000))
    header = "<14>1 2026-11-23T10:00:00Z web-1 shop 7 - "
    found = fields("syslog", f"{header}[a {many}] hello")
    assert found["message"] == f"[a {many}] hello"
    assert len(found) < 20
    slog = "time=2026-11-23T10:00:00Z level=INFO msg=hello " + many
    assert len(fields("go", slog)) < 300
    assert fields("go", slog)["message"] == slog, "what has no field stays in the message"
    record = (
        '{"time":"2026-11-23T10:00:00Z","level":"info","msg":"hello",'
        + many.replace(" ", ",").replace("k", '"k').replace("=", '":')
        + "}"
    )
    assert READY["traefik"](record) is None


@pytest.mark.parametrize(("number", "level"), [(0, "emerg"), (11, "error"), (12, "warning"), (191, "debug")])
def test_a_bare_priority_is_a_level(number: int, level: str) -> None:
    found = fields("syslog", f"<{number}>disk is full")
    assert (found["log.level"], found["message"]) == (level, "disk is full")


def test_a_priority_that_there_is_not_is_text() -> None:
    assert READY["syslog"]("<192>disk is full") is None
