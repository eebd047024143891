"""Runs a program on a terminal of its own: COLUMNS ROWS PROGRAM ARGUMENT...

What the program writes goes to standard output. Standard input takes a JSON object a line: {"keys": TEXT},
{"size": [COLUMNS, ROWS]}, {"signal": NAME}. When the program has ended, one last line on standard error says how, and
whether the terminal is as it was: {"status": NUMBER, "restored": BOOLEAN}. Ends as soon as its standard input does.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios

columns, rows, *command = sys.argv[1:]


def resize(wide: int, high: int) -> None:
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", high, wide, 0, 0))


outer, inner = pty.openpty()
resize(int(columns), int(rows))
before = termios.tcgetattr(inner)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(inner, descriptor)
    os.closerange(3, 256)
    os.execvp(command[0], command)


def drain() -> None:
    while select.select([outer], [], [], 0)[0]:
        sys.stdout.buffer.write(os.read(outer, 65536))
    sys.stdout.buffer.flush()


waiting = b""
while True:
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        break
    for ready in select.select([outer, 0], [], [], 0.05)[0]:
        data = os.read(ready, 65536)
        if ready == outer:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            continue
        if not data:
            os.kill(child, signal.SIGKILL)
            sys.exit(1)
        waiting += data
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            asked = json.loads(line)
            if "keys" in asked:
                os.write(outer, asked["keys"].encode())
            if "size" in asked:
                resize(*asked["size"])
            if "signal" in asked:
                os.kill(child, signal.Signals[asked["signal"]])
drain()
restored = termios.tcgetattr(inner) == before
print(json.dumps({"status": os.waitstatus_to_exitcode(status), "restored": restored}), file=sys.stderr)
