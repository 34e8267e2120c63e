"""A WebSocket server and client: five texts there and back, compressed. Argument: the port."""
import asyncio
import sys

import websockets


async def echo(connection):
    async for message in connection:
        await connection.send("echo " + message)


async def main(port):
    async with websockets.serve(echo, "127.0.0.1", port):
        async with websockets.connect(f"ws://127.0.0.1:{port}/room", proxy=None) as client:
            for number in range(5):
                await client.send(f"message {number} " + "x" * 200)
                await client.recv()


asyncio.run(main(int(sys.argv[1])))
