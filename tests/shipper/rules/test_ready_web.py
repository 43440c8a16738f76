"""What the ready parsers of proxies and web servers find in the lines that matter most, field by field."""

from shipper.rules.ready import READY

nginx, apache, haproxy, traefik = (READY[name] for name in ("nginx", "apache", "haproxy", "traefik"))

COMBINED = (
    "203.0.113.7 - ann [23/Nov/2026:10:00:00 +0100] "
    '"GET /a/b?q=1 HTTP/1.1" 404 153 "https://example.com/" "curl/7.88.1"'
)
HTTPLOG = (
    "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/2/3/4/+5 6/7 "
    '{1wt.eu} {} "GET /index.html?x HTTP/1.1"'
)


def test_a_combined_line_is_an_http_request_with_its_answer() -> None:
    assert nginx(COMBINED) == {
        "time": "23/Nov/2026:10:00:00 +0100",
        "source.address": "203.0.113.7",
        "source.ip": "203.0.113.7",
        "client.ip": "203.0.113.7",
        "user.name": "ann",
        "http.request.method": "GET",
        "http.version": "1.1",
        "url.original": "/a/b?q=1",
        "url.path": "/a/b",
        "url.query": "q=1",
        "http.response.status_code": 404,
        "http.response.body.bytes": 153,
        "http.request.referrer": "https://example.com/",
        "user_agent.original": "curl/7.88.1",
    }
    assert apache(COMBINED) == nginx(COMBINED)


def test_what_an_image_appends_to_combined_is_read_and_a_time_becomes_nanoseconds() -> None:
    found = nginx(COMBINED + ' "198.51.100.1, 10.0.0.2" 0.123 0.100') or {}
    assert found["nginx.access.forwarded_for"] == "198.51.100.1, 10.0.0.2"
    assert found["event.duration"] == 123_000_000
    assert found["client.ip"] == "203.0.113.7", "what a client says of itself is no address that we saw"


def test_a_request_that_is_none_leaves_the_line_readable() -> None:
    line = r'203.0.113.7 - - [23/Nov/2026:10:00:00 +0000] "\x16\x03\x01\x00" 400 150 "-" "-"'
    found = nginx(line) or {}
    assert found["http.response.status_code"] == 400
    assert not {"http.request.method", "url.original", "user_agent.original", "user.name"} & found.keys()


def test_an_nginx_error_names_client_request_and_upstream() -> None:
    line = (
        "2026/11/23 10:00:00 [error] 29#30: *5 connect() failed (111: Connection refused) while connecting, "
        'client: ::1, server: shop.example.com, request: "POST /api HTTP/1.1", upstream: "http://10.0.0.2:80/api", '
        'host: "shop.example.com:8080", referrer: "http://shop.example.com/cart"'
    )
    found = nginx(line) or {}
    assert found.pop("message") == line.partition("*5 ")[2]
    assert found == {
        "time": "2026/11/23 10:00:00",
        "log.level": "error",
        "process.pid": 29,
        "process.thread.id": 30,
        "nginx.error.connection_id": 5,
        "error.code": "111",
        "source.address": "::1",
        "source.ip": "::1",
        "client.ip": "::1",
        "nginx.error.server": "shop.example.com",
        "http.request.method": "POST",
        "http.version": "1.1",
        "url.original": "/api",
        "url.path": "/api",
        "nginx.error.upstream": "http://10.0.0.2:80/api",
        "url.domain": "shop.example.com",
        "http.request.referrer": "http://shop.example.com/cart",
    }


def test_an_apache_error_has_its_code_and_client() -> None:
    line = (
        "[Mon Nov 23 10:00:00.123456 2026] [core:error] [pid 12:tid 140] (13)Permission denied: "
        "[client 10.0.0.7:51012] AH00132: file permissions deny server access: /x"
    )
    assert apache(line) == {
        "time": "Mon Nov 23 10:00:00.123456 2026",
        "log.level": "error",
        "apache.error.module": "core",
        "process.pid": 12,
        "process.thread.id": 140,
        "error.code": "13",
        "event.code": "AH00132",
        "source.address": "10.0.0.7",
        "source.ip": "10.0.0.7",
        "client.ip": "10.0.0.7",
        "source.port": 51012,
        "message": "Permission denied: AH00132: file permissions deny server access: /x",
    }


def test_haproxy_reads_the_same_behind_every_header() -> None:
    bare = haproxy(HTTPLOG)
    assert bare == {
        "time": "06/Feb/2009:12:14:14.655",
        "source.address": "10.0.1.2",
        "source.ip": "10.0.1.2",
        "client.ip": "10.0.1.2",
        "source.port": 33317,
        "haproxy.frontend_name": "http-in",
        "haproxy.backend_name": "static",
        "haproxy.server_name": "srv1",
        "haproxy.http.request.time_wait_ms": 10,
        "haproxy.time_queue": 0,
        "haproxy.time_backend_connect": 30,
        "haproxy.http.request.time_wait_without_data_ms": 69,
        "event.duration": 109_000_000,
        "http.response.status_code": 200,
        "http.response.bytes": 2750,
        "haproxy.termination_state": "----",
        "haproxy.connections.active": 1,
        "haproxy.connections.frontend": 2,
        "haproxy.connections.backend": 3,
        "haproxy.connections.server": 4,
        "haproxy.connections.retries": 5,
        "haproxy.server_queue": 6,
        "haproxy.backend_queue": 7,
        "haproxy.http.request.captured_headers": "1wt.eu",
        "http.request.method": "GET",
        "http.version": "1.1",
        "url.original": "/index.html?x",
        "url.path": "/index.html",
        "url.query": "x",
    }
    heads = (
        "2017/07/11 11:38:42 HAPRoxy: ", "HAPRoxy: ", "haproxy[8]: ", "<134>Feb  6 12:14:14 haproxy[8]: ",
        "<134>Feb  6 12:14:14 edge-1 haproxy[8]: ", "Feb  6 12:14:14 edge-1 local0.info haproxy[8]: ",
        "<134>1 2009-02-06T12:14:14+00:00 edge-1 haproxy 8 - - ",
    )  # fmt: skip
    for head in heads:
        found = haproxy(head + HTTPLOG) or {}
        assert {name: found.get(name) for name in bare} == bare, head
    assert (haproxy(heads[3] + HTTPLOG) or {})["process.pid"] == 8


def test_haproxy_tells_a_server_that_went_away() -> None:
    line = '[WARNING]  (8) : Server app/one is DOWN, reason: Layer4 connection problem, info: "Connection refused"'
    found = haproxy(line) or {}
    assert (found["log.level"], found["haproxy.backend_name"], found["haproxy.server_name"]) == (
        "warning",
        "app",
        "one",
    )


def test_traefik_adds_router_backend_and_duration_to_a_combined_line() -> None:
    line = COMBINED + ' 7 "shop@docker" "http://10.0.3.7:8080" 210ms'
    found = traefik(line) or {}
    assert found["event.duration"] == 210_000_000
    assert found["traefik.access.router_name"] == "shop@docker"
    assert found["traefik.access.backend_url"] == "http://10.0.3.7:8080"
    assert found["url.path"] == "/a/b"
    assert nginx(line) is None
    assert traefik(COMBINED) is None
