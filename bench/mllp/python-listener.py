"""The MLLP server of hl7 (PyPI), as its documentation starts it: parses each message and answers with its own acknowledgement; stores nothing."""
import asyncio
import json

from hl7.mllp import start_hl7_server


async def answer(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


async def main():
    async with await start_hl7_server(answer, host="127.0.0.1", port=0, limit=1024 * 1024) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


asyncio.run(main())
