"""kill -9 of a seller or a buyer at random moments, through a proxy that mistreats connections.

Each has its own home; between them the real broker, which is killed now and then too. What was
delivered is paid once, what was paid was delivered, no window is exceeded and the ledger sums to
zero, however it is looked at. 100 kills took 217 to 277 s on 2 cores that others used too.

Run: make chaos [KILLS=100] [SEED=...]
"""

import asyncio
import logging
import os
import tempfile
import time
from pathlib import Path

from chaosrun import Storm, told, weather_through

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))

if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # that the broker is away is the very point
    print(f"seed {SEED}", flush=True)
    with tempfile.TemporaryDirectory(prefix="milepost-chaos-") as folder:
        print(told(asyncio.run(weather_through(Path(folder), Storm(KILLS, SEED)))))
