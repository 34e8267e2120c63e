"""A TCP proxy as slow as a line across an ocean: PORT TO-PORT MILLISECONDS MEGABITS.

Each way takes half the latency, all connections share the rate, and a new connection costs one
round trip more. At its end (SIGTERM) it prints how many HTTP requests passed, and bytes of answers;
before, with SIGUSR1.
"""

import asyncio
import re
import signal
import sys
import time

port, to_port, latency, megabits = (float(arg) for arg in sys.argv[1:5])
HALF = latency / 2000
RATE = megabits * 1e6 / 8
REQUEST = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) [^\r\n]+ HTTP/1\.1\r\n", re.M)
requests = 0
answered = 0
free_at = 0.0


async def pump(reader, writer, is_answer):
    """Hands bytes on, each piece no earlier than latency and rate allow."""
    global requests, answered, free_at
    queue = asyncio.Queue(maxsize=256)

    async def late():
        while (piece := await queue.get()) is not None:
            due, data = piece
            await asyncio.sleep(max(0, due - time.monotonic()))
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.create_task(late())
    try:
        while data := await reader.read(16384):
            now = time.monotonic()
            if is_answer:
                free_at = max(free_at, now) + len(data) / RATE
                answered += len(data)
            else:
                requests += len(REQUEST.findall(data))
            await queue.put(((free_at if is_answer else now) + HALF, data))
    except ConnectionError:
        pass
    await queue.put(None)
    try:
        await task
    except ConnectionError:
        pass


async def serve(reader, writer):
    await asyncio.sleep(2 * HALF)
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(to_port))
    await asyncio.gather(pump(reader, far_writer, False), pump(far_reader, writer, True))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(port))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, tell)
    async with server:
        await stop.wait()
    tell()


def tell():
    """Prints what passed since it was told last."""
    global requests, answered
    print(f"{requests} requests, {answered} bytes of answers", file=sys.stderr, flush=True)
    requests = answered = 0


asyncio.run(main())
