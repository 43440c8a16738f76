"""Put dashboards/kibana/towline.ndjson into Kibana, as soon as it is ready: `import.py URL USER PASSWORD_FILE NDJSON`.

Kibana's API: POST /api/saved_objects/_import?overwrite=true, a form with the field `file`. Again changes nothing.
"""

import base64
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE = 600.0
"""Seconds; the first start of Kibana takes one or two minutes."""
BOUNDARY = "towline-objects"


def form(content: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="towline.ndjson"\r\n'
    kind = "Content-Type: application/ndjson\r\n\r\n"
    return (head + kind).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def post(url: str, user: str, password: str, content: bytes) -> Any:
    """Kibana's answer; raises OSError where it is not there, HTTPError where it refuses."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"kbn-xsrf": "towline", "Authorization": f"Basic {token}",
               "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}  # fmt: skip
    request = urllib.request.Request(f"{url}/api/saved_objects/_import?overwrite=true", form(content), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait(url: str, user: str, password: str, content: bytes, patience: float = PATIENCE, pause: float = 5) -> Any:
    """Ask until Kibana takes it; while it starts it does not answer, or says 503. Other refusals end this at once."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return post(url, user, password, content)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 502, 503, 504):
                sys.exit(f"import: Kibana at {url} answered {error.code}: {error.read(300).decode(errors='replace')}")
            said = str(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = str(error)
        if time.monotonic() > deadline:
            sys.exit(f"import: Kibana at {url} is not ready after {patience:.0f} s ({said}); see its log")
        time.sleep(pause)


def main() -> None:
    if len(sys.argv) != 5:
        sys.exit("usage: import.py URL USER PASSWORD_FILE NDJSON")
    url, user, password, objects = sys.argv[1:]
    answer = wait(url, user, Path(password).read_text().strip(), Path(objects).read_bytes())
    if not answer.get("success"):
        sys.exit(f"import: Kibana refused some objects: {json.dumps(answer.get('errors'))[:1000]}")
    print(f"import: {answer.get('successCount')} objects are in Kibana")


if __name__ == "__main__":
    main()
