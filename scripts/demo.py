"""A small image made on this machine (no registry is asked) and a container that says a line each second.

demo.py image   make the image towline-demo:local where it is missing
demo.py start   also start the container towline-demo, where no container runs at all
demo.py stop    remove that container
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound, NotFound
from docker.types import LogConfig

IMAGE = "towline-demo:local"
NAME = "towline-demo"
SCRIPT = 'i=0; while true; do i=$((i+1)); echo "hello from the Towline demo, line $i"; sleep 1; done'


def engine() -> docker.DockerClient:
    address = os.environ.get("TOWLINE_TEST_ENGINE") or os.environ.get("TOWLINE_ENGINE") or "unix:///var/run/docker.sock"
    return docker.DockerClient(base_url=address)


def filesystem() -> bytes:
    """A tar of /bin with the static busybox and a link per applet."""
    found = shutil.which("busybox")
    if found is None:
        sys.exit("busybox is missing; apt-get install busybox-static")
    listed = subprocess.run([found, "--list"], capture_output=True, text=True, check=True).stdout
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        content = Path(found).read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
        for applet in {*listed.split()} - {"busybox"}:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return buffer.getvalue()


def make_image(client: docker.DockerClient) -> None:
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        print(f"==> making the image {IMAGE} from this machine's busybox", flush=True)
        repository, tag = IMAGE.split(":")
        client.api.import_image_from_data(filesystem(), repository=repository, tag=tag)


def remove(client: docker.DockerClient) -> bool:
    try:
        client.containers.get(NAME).remove(force=True)
    except NotFound:
        return False
    return True


def start(client: docker.DockerClient) -> None:
    if client.containers.list():
        return
    make_image(client)
    remove(client)
    print(f"==> no container runs here: starting a small one, {NAME}, that says a line each second", flush=True)
    client.containers.run(
        IMAGE, ["sh", "-c", SCRIPT], name=NAME, detach=True, init=True, network_mode="none",
        log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}))  # fmt: skip


def main() -> None:
    client = engine()
    try:
        match sys.argv[1:]:
            case ["image"]:
                make_image(client)
            case ["start"]:
                start(client)
            case ["stop"]:
                if remove(client):
                    print(f"==> removed the demo container {NAME}")
            case _:
                sys.exit(__doc__)
    finally:
        client.close()


if __name__ == "__main__":
    main()
