"""The C library's heaps, as it tells of them itself."""

import subprocess
import sys
from pathlib import Path

THREADS = """
import ctypes, sys, threading
from towline import memory
getattr(memory, sys.argv[1], int)()
started, done = threading.Barrier(5), threading.Event()
def answer():
    kept = [b"x" * 1000 for _ in range(100)]
    started.wait()
    done.wait()
threads = [threading.Thread(target=answer) for _ in range(4)]
for thread in threads:
    thread.start()
started.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
libc.fclose.argtypes = (ctypes.c_void_p,)
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
done.set()
"""


def heaps(setting: str, path: Path) -> int:
    subprocess.run([sys.executable, "-c", THREADS, setting, str(path)], check=True, timeout=60)
    return path.read_text().count("<heap nr=")


def test_threads_share_one_heap(tmp_path: Path) -> None:
    assert heaps("share", tmp_path / "shared.xml") == 1
    assert heaps("none", tmp_path / "own.xml") > 1
