"""A real S3 server on loopback, in its own process, that can be paused."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass

BUCKET = "runs"

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address=sys.argv[1], port=int(sys.argv[2]), verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

# Credentials that clients need; the server accepts any.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class S3Server:
    """The running server. Its data are in memory, so it is paused, not ended."""

    process: subprocess.Popen
    host: str
    port: int

    def uri(self, path):
        return f"s3://{BUCKET}/{path}?endpoint_override={self.host}:{self.port}&scheme=http"

    @contextlib.contextmanager
    def away(self):
        """Pause the server, so that requests get no answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def s3_server(host="127.0.0.1", prefix=()):
    """Run a server with the bucket BUCKET; `prefix` is put before its command."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", SERVER, host, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **CREDENTIALS},
    )
    try:
        server = S3Server(process, host, int(process.stdout.readline()))
        request = urllib.request.Request(f"http://{host}:{server.port}/{BUCKET}", method="PUT")
        for attempt in range(50):
            try:
                urllib.request.urlopen(request, timeout=5).close()
                break
            except OSError:
                if attempt == 49:
                    raise
                time.sleep(0.2)
        yield server
    finally:
        process.kill()
        process.wait()
