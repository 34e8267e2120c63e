"""Asks an MCP server by the official SDK; prints one line of JSON for each way that it connects.

usage: client.py http URL TOKEN
       client.py stdio PROGRAM ARGUMENT...     with the environment of this process
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


async def ask(transport, mode):
    async with Client(transport, mode=mode) as client:
        tools = (await client.list_tools()).tools
        called = await client.call_tool("items", {"q": "http and response.status >= 500"})
        text = await client.call_tool("kfl_help", {})
        refused = await client.call_tool("items", {"q": "http and ("})
        try:
            await client.call_tool("moon", {})
            unknown = None
        except Exception as error:
            unknown = str(error)
        print(json.dumps({
            "mode": mode,
            "version": client.protocol_version,
            "server": client.server_info.name,
            "instructions": client.instructions,
            "tools": [tool.name for tool in tools],
            "readOnly": [tool.name for tool in tools if tool.annotations.read_only_hint],
            "rows": called.structured_content["rows"],
            "text": json.loads(called.content[0].text)["rows"],
            "help": text.content[0].text[:100],
            "refused": [refused.is_error, refused.content[0].text],
            "unknown": unknown,
        }))


async def main(way, *rest):
    for mode in ("legacy", "auto"):
        if way == "http":
            url, token = rest
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
                await ask(streamable_http_client(url, http_client=http), mode)
        else:
            program, *arguments = rest
            server = StdioServerParameters(command=program, args=arguments, env=dict(os.environ))
            await ask(stdio_client(server), mode)


asyncio.run(main(*sys.argv[1:]))
