"""`python -m order_service.sandbox --port 4950 --data DIR`: the three partners as one process."""

import argparse
import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

from aiohttp import web

from order_service.parent import die_with_parent
from order_service.sandbox.app import Sandbox
from order_service.sandbox.journal import JournalBusy, JournalDamaged
from order_service.sandbox.world import World

HOST = "127.0.0.1"
DRAIN_S = 0.5


def main() -> int:
    """Run until SIGINT or SIGTERM; 0 after that, 1 with a sentence if it cannot start."""
    options = _options()
    if options.die_with_parent:
        die_with_parent()
    try:
        world = World(options.data)
        # What was read back lives as long as the process: no use in scanning it again and again.
        gc.freeze()
        asyncio.run(_serve(world, options.port))
    except JournalBusy:
        return _sorry(f"another sandbox is using {options.data}")
    except JournalDamaged as fault:
        return _sorry(f"the sandbox's journal is damaged: {fault}")
    except OSError as fault:
        return _sorry(f"the sandbox cannot start on {HOST}:{options.port}: {fault}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m order_service.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="directory of the journal")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the starter ends")
    return parser.parse_args()


async def _serve(world: World, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    runner = web.AppRunner(Sandbox(world).app(), access_log=None, shutdown_timeout=DRAIN_S)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    taken = runner.addresses[0][1]
    print(json.dumps({"url": f"http://{HOST}:{taken}"}), flush=True)
    await stop.wait()
    await runner.cleanup()


def _sorry(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
