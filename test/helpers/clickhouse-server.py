"""Runs ClickHouse's own command line from the engine's library: LIBRARY ARGUMENT...

Ends as soon as its standard input does, so that no server outlives the test that started it.
"""

import ctypes
import os
import signal
import sys
import threading


def follow_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


threading.Thread(target=follow_parent, daemon=True).start()
library = ctypes.CDLL(sys.argv[1])
arguments = [argument.encode() for argument in sys.argv[2:]]
library.chdb_query_cmdline(len(arguments), (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None))
