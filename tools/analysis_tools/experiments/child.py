"""Run a command that ends with the process that asked for it.

That process holds the other end of the pipe that is stdin here and writes
nothing: when it ends, killed or not, or closes it, the pipe does too. Then
the group of this process, the command's, is ended, after some seconds by
force.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 10  # seconds from the request to end to the kill


def watch() -> None:
    """Wait for the end of stdin, then end the group."""
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


if __name__ == '__main__':
    # Requests to end go to the whole group: the command follows them, and
    # its end is that of this process.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=watch, daemon=True).start()
    status = command.wait()
    os._exit(status if status >= 0 else 128 - status)
