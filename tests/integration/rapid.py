"""A store in a process of its own, for many at once, that lets everybody in: ``python rapid.py ADDRESS PORT``."""

import asyncio
import subprocess
import sys
from contextlib import contextmanager

GREETING = b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID] ready\r\n"


class Store(asyncio.Protocol):
    """One connection: every command is answered with OK."""

    def connection_made(self, transport):
        self.transport, self.received = transport, b""
        transport.write(GREETING)

    def data_received(self, octets):
        *lines, self.received = (self.received + octets).split(b"\r\n")
        for line in lines:
            tag, _, command = line.partition(b" ")
            if command.upper() == b"CAPABILITY":
                self.transport.write(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ID\r\n")
            self.transport.write(tag + b" OK done\r\n")
            if command.upper() == b"LOGOUT":
                self.transport.close()


async def serve(address, port):
    server = await asyncio.get_running_loop().create_server(Store, address, port, backlog=1024)
    print("ready", flush=True)  # noqa: T201 - to the test that started us
    await server.serve_forever()


@contextmanager
def rapid_store(address, port):
    """Run one; return its process."""
    with subprocess.Popen([sys.executable, __file__, address, str(port)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
