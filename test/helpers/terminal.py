"""Drives a program in a pseudo-terminal: python3 terminal.py STEPS PROGRAM ARGS…

STEPS is JSON, a list of [keys, pattern]: the keys are typed, then what the program prints is read until the pattern
(a regular expression) is found in what came after they were typed. What was printed in each step is written as a JSON
list. Exit status 1 where a pattern does not come in 20 seconds.
"""

import json
import os
import pty
import re
import select
import signal
import sys
import time

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])

printed = []
status = 0
for keys, pattern in steps:
    os.write(terminal, keys.encode())
    text = ""
    end = time.monotonic() + 20
    while not re.search(pattern, text, re.S):
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        if not ready:
            status = 1
            break
        try:
            text += os.read(terminal, 65536).decode(errors="replace")
        except OSError:
            break
    printed.append(text)
    if status:
        break
os.kill(pid, signal.SIGKILL)
print(json.dumps(printed))
sys.exit(status)
