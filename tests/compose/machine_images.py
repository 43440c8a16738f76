"""Images for an engine that reaches no registry, made from the packages that are installed on this machine.

One file system holds Erlang and RabbitMQ, Java and Elasticsearch, HAProxy, Prometheus and its friends, as dpkg lists
their files; each image is that, under the name that the stack file asks for, with the user, the folders and the way to
start that the official image of this name has. The base of Towline's own image is another, of Python with the locked
wheels beside it: its Dockerfile is built as it is, without a network.
"""

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
OURS = ("python3", "python3-venv", "openssl", "bash", "libstdc++6")
"""What compose/Dockerfile wants of its BASE."""
THEIRS = ("bash", "curl", "wget", "rabbitmq-server", "openjdk-17-jre-headless", "haproxy", "prometheus",
          "prometheus-alertmanager", "prometheus-elasticsearch-exporter")  # fmt: skip
LEFT_OUT = ("systemd", "libjs-", "fonts-", "ca-certificates-java", "logrotate", "tzdata", "libasound2-data", "dmsetup")
"""What these packages depend on and do not need to run."""
UNREAD = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/lintian/", "/usr/share/info/",
          "/usr/lib/x86_64-linux-gnu/gconv/", "/usr/bin/promtool", "/usr/bin/amtool")  # fmt: skip
PASSWD = "root:x:0:0:root:/root:/bin/bash\nrabbitmq:x:999:999::/var/lib/rabbitmq:/bin/sh\nes:x:1000:0::/:/bin/sh\n"
BASE = "towline-machine:local"
TOWLINE_BASE = "towline-base:local"
TOWLINE = "towline:0.1.0"
STACK = ROOT / "compose" / "stack.yml"

ELASTICSEARCH = """#!/bin/bash
# As the official image's: settings are variables with a dot in their name, and the program runs in the foreground.
settings=()
while IFS='=' read -r name value; do
    [[ $name == *.* ]] && settings+=("-E$name=$value")
done < <(env)
exec /usr/share/elasticsearch/bin/elasticsearch "${settings[@]}"
"""


def installed() -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Of all packages here: what each depends on, who provides a name, and which are essential."""
    form = "${Package}\t${Essential}\t${Pre-Depends}, ${Depends}\t${Provides}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    depends, provides, essential = {}, {}, []
    for line in listed.splitlines():
        package, needed, wanted, provided = line.split("\t")
        depends[package] = wanted
        essential += [package] if needed == "yes" else []
        provides.update({name.split()[0]: package for name in provided.split(",") if name.strip()})
    return depends, provides, essential


def closure(wanted: Iterable[str]) -> set[str]:
    """These packages and all that they depend on, as far as it is here."""
    depends, provides, essential = installed()
    todo, seen = [*wanted, *essential], set()
    for name in wanted:
        assert name in depends, f"{name} is not installed: make servers"
    while todo:
        name = todo.pop()
        name = name if name in depends else provides.get(name, "")
        if not name or name in seen or name.startswith(LEFT_OUT):
            continue
        seen.add(name)
        for alternatives in depends[name].split(","):
            named = [each.split()[0].partition(":")[0] for each in alternatives.split("|") if each.strip()]
            todo += [each for each in named if each in depends or each in provides][:1]
    return seen


def paths(packages: Iterable[str]) -> Iterator[Path]:
    """Files and links of the packages, and what their installation made beside: /etc/alternatives, linker's cache."""
    listed = subprocess.run(["dpkg", "-L", *packages], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        path = Path(line)
        if line.startswith("/") and not line.startswith(UNREAD) and (path.is_symlink() or path.is_file()):
            yield path.parent.resolve() / path.name  # /bin is a link to /usr/bin
    for folder in ("/usr/bin", "/usr/sbin"):
        yield from (path for path in Path(folder).iterdir()
                    if path.is_symlink() and str(path.readlink()).startswith("/etc/alternatives/"))  # fmt: skip
    yield from Path("/etc/alternatives").iterdir()
    yield from (Path("/etc/ld.so.cache"), Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").iterdir())


def _unowned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o444  # a server's own user reads settings that its package keeps for it
    return entry


class Filesystem:
    """A tar of a root file system, written to `out` as it is made."""

    def __init__(self, out: io.BufferedIOBase) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|")  # noqa: SIM115

    def machine(self, packages: Iterable[str]) -> None:
        for name in ("bin", "sbin", "lib", "lib64"):
            self._link(name, f"usr/{name}")
        ours = {"/bin", "/sbin", "/lib", "/lib64", "/etc/passwd", "/etc/group", "/usr/local/bin/docker-entrypoint.sh"}
        for path in sorted(set(paths(closure(packages)))):
            if str(path) not in ours and not path.is_relative_to("/etc/prometheus"):
                self._tar.add(path, str(path)[1:], recursive=False, filter=_unowned)
        self.text("etc/passwd", PASSWD)
        self.text("etc/group", "root:x:0:\nrabbitmq:x:999:\n")
        for folder, owner, mode in (
            ("tmp", 0, 0o1777), ("root", 0, 0o700), ("run", 0, 0o755), ("proc", 0, 0o555),
            ("etc/rabbitmq/conf.d", 0, 0o755), ("var/lib/rabbitmq", 999, 0o755), ("var/log/rabbitmq", 999, 0o755),
            ("prometheus", 65534, 0o755), ("alertmanager", 65534, 0o755), ("etc/prometheus", 0, 0o755),
        ):  # fmt: skip
            self.folder(folder, owner, mode)

    def elasticsearch(self, home: Path) -> None:
        """The distribution where the official image has it; its settings, data and logs belong to user 1000."""

        def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            mine = entry.name.split("/")[3:4]
            if mine in (["data"], ["logs"]) and not entry.isdir():
                return None
            entry.uid, entry.gid = (1000 if mine in (["config"], ["data"], ["logs"]) else 0), 0
            entry.mode |= 0o444
            return entry

        self._tar.add(home, "usr/share/elasticsearch", filter=owned)
        self.folder("usr/share/elasticsearch/data", 1000, 0o755)
        self.text("usr/local/bin/docker-entrypoint.sh", ELASTICSEARCH, 0o755)

    def wheels(self, folder: Path) -> None:
        self._tar.add(folder, "wheels", filter=_unowned)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text.encode()), mode
        self._tar.addfile(entry, io.BytesIO(text.encode()))

    def folder(self, name: str, owner: int, mode: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, mode, owner
        self._tar.addfile(entry)

    def _link(self, name: str, to: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self._tar.addfile(entry)

    def close(self) -> None:
        self._tar.close()


def wheels() -> Path:
    """The locked packages for this machine's own Python, downloaded once."""
    python = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                            capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    lock = ROOT / "requirements.lock"
    folder = ROOT / ".towline" / f"wheels-{python}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not (folder / ".whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download", "--require-hashes",
             "--no-deps", "--only-binary", ":all:", "--python-version", python, "-d", str(folder), "-r", str(lock)],
            check=True)  # fmt: skip
        (folder / ".whole").touch()
    return folder


@contextlib.contextmanager
def imported(engine: str, name: str, *changes: str) -> Iterator[Filesystem]:
    """A file system that becomes an image on this engine."""
    options = [f"--change={change}" for change in ("ENV PATH=/usr/sbin:/usr/bin", *changes)]
    command = ["docker", "-H", engine, "import", *options, "-", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing:
        assert importing.stdin is not None
        filesystem = Filesystem(importing.stdin)  # type: ignore[arg-type]
        yield filesystem
        filesystem.close()
        importing.stdin.close()
    assert importing.returncode == 0


def make_base(engine: str) -> None:
    """The file system of RabbitMQ, Elasticsearch, HAProxy, Prometheus and Alertmanager."""
    subprocess.run([str(ROOT / "scripts/elasticsearch.sh"), "fetch"], check=True)
    cache = Path(os.environ.get("TOWLINE_ES_CACHE", "/var/cache/towline"))
    with imported(engine, BASE, "ENV HOME=/var/lib/rabbitmq") as filesystem:
        filesystem.machine(THEIRS)
        filesystem.elasticsearch(cache / f"elasticsearch-{os.environ.get('TOWLINE_ES_VERSION', '8.19.7')}")


def make_towline(engine: str) -> None:
    """Towline's image, by its Dockerfile, on a base that has the locked packages for pip."""
    with imported(engine, TOWLINE_BASE, "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels") as filesystem:
        filesystem.machine(OURS)
        filesystem.wheels(wheels())
    build(engine, "--build-arg", f"BASE={TOWLINE_BASE}", "-f", "compose/Dockerfile", "-t", TOWLINE, ".")


def like_official(engine: str, name: str, recipe: str) -> None:
    """An image of BASE with these instructions of a Dockerfile, under the name that the stack file asks for."""
    build(engine, "-t", name, "-", text=f"FROM {BASE}\n{recipe}\n")


def build(engine: str, *arguments: str, text: str | None = None) -> None:
    """`docker build` without a network, by the classic builder (Debian has no other)."""
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["docker", "-H", engine, "build", "--network", "none", "-q", *arguments], input=text, text=True, cwd=ROOT,
        capture_output=True, check=False, env=environ)  # fmt: skip
    assert done.returncode == 0, f"docker build {arguments}: {done.stderr[-3000:]}{done.stdout[-2000:]}"


OFFICIAL = {
    "haproxy": 'USER 99\nENTRYPOINT ["haproxy", "-W", "-db"]\nCMD ["-f", "/usr/local/etc/haproxy/haproxy.cfg"]',
    "rabbitmq": "VOLUME /var/lib/rabbitmq\nENV RABBITMQ_LOGS=- RABBITMQ_LOG_BASE=/var/log/rabbitmq\n"
                "ENV PATH=/usr/local/bin:/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin\n"
                "RUN printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/local/bin/docker-entrypoint.sh\n"
                'ENTRYPOINT ["docker-entrypoint.sh"]\nCMD ["rabbitmq-server"]',
    "elasticsearch": "ENV ES_JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64\nWORKDIR /usr/share/elasticsearch\n"
                     'USER 1000:0\nENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]\nCMD ["eswrapper"]',
    "prom/prometheus": "WORKDIR /prometheus\nVOLUME /prometheus\nUSER 65534\n"
                       'ENTRYPOINT ["/usr/bin/prometheus"]\n'
                       'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]',
    "prometheuscommunity/elasticsearch-exporter": "RUN ln -s /usr/bin/prometheus-elasticsearch-exporter"
                                                 " /bin/elasticsearch_exporter\nUSER 65534\n"
                                                 'ENTRYPOINT ["/bin/elasticsearch_exporter"]',
    "prom/alertmanager": "WORKDIR /alertmanager\nVOLUME /alertmanager\nUSER 65534\n"
                         'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]\n'
                         'CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]',
}  # fmt: skip
"""How the official images start, as far as the stack file counts on it."""


def make_servers(engine: str) -> list[str]:
    """The images of compose/stack.yml that are not Towline's and can be made here, on this engine. Their names."""
    make_base(engine)
    asked = {service["image"] for service in yaml.safe_load(STACK.read_text())["services"].values()}
    known = {name: OFFICIAL[name.partition(":")[0]] for name in asked if name.partition(":")[0] in OFFICIAL}
    for name, recipe in known.items():
        like_official(engine, name, recipe)
    return [BASE, *known]
