"""An attack on proxies, beside owners who log in: many addresses guess, each as fast as it is answered.

Addresses are those that a load balancer's headers (PROXY protocol, version 1) tell of.
"""

import asyncio
import itertools
import time

from attrs import define, field, frozen

SECRET = b"Secret"
WRONG = b"NO [AUTHENTICATIONFAILED]"


@frozen
class Plan:
    """So many guesses over so many addresses at so many users; so many owners, and seconds between two of them."""

    guesses: int
    addresses: int
    users: int
    owners: int
    pace: float

    def names(self):
        return [f"u{number}@example.com" for number in range(self.users)]


async def store(reader, writer):
    """Be a store that lets in whoever has the secret."""
    try:
        writer.write(b"* OK [CAPABILITY IMAP4rev1 ID] ready\r\n")
        while line := await reader.readline():
            tag, _, command = line.partition(b" ")
            refused = command.upper().startswith(b"LOGIN") and SECRET not in command
            writer.write(tag + (b" NO [AUTHENTICATIONFAILED] no\r\n" if refused else b" OK done\r\n"))
    except ConnectionError:
        pass
    finally:
        writer.close()


@define
class Attack:
    """Who comes, to which ports by turns, and what became of it: when each guess was answered, to whom, how."""

    plan: Plan
    targets: list
    began: float = field(factory=time.monotonic)
    guesses: list = field(factory=list)
    owners: list = field(factory=list)
    _ports: object = field(factory=lambda: itertools.cycle(range(1024, 65536)))

    async def log_in(self, turn, address, user, password):
        """Return the answer to a login, and how many seconds it took from the connection on."""
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.targets[turn % len(self.targets)])
        try:
            source = next(self._ports)
            writer.write(b"PROXY TCP4 %b 192.0.2.1 %d 143\r\n" % (address.encode(), source))
            await reader.readline()
            writer.write(b"a LOGIN %b %b\r\n" % (user.encode(), password))
            while line := await reader.readline():
                if line.startswith((b"a ", b"* BYE")):
                    break
            return line, time.monotonic() - began
        finally:
            writer.close()

    async def guess(self, number):
        """Guess from one address until its share is done."""
        for guess in range(self.plan.guesses // self.plan.addresses):
            user = f"u{(number + guess) % self.plan.users}@example.com"
            answer, _ = await self.log_in(guess, attacker(number), user, b"wrong-%d-%d" % (number, guess))
            self.guesses.append((time.monotonic() - self.began, attacker(number), answer))

    async def own(self, number):
        """Log in as an owner from home, when it is time to."""
        await asyncio.sleep(number * self.plan.pace)
        self.owners.append(await self.log_in(number, owner(number), f"u{number % self.plan.users}@example.com", SECRET))

    async def run(self, store_at):
        """Do it all."""
        serving = await asyncio.start_server(store, *store_at, backlog=1024)
        async with serving:
            guessing = [self.guess(number) for number in range(self.plan.addresses)]
            owning = [self.own(number) for number in range(self.plan.owners)]
            await asyncio.gather(*guessing, *owning)

    def figures(self, every):
        """Return what an operator would want to know, in lines."""
        last = max(when for when, *_ in self.guesses)
        counts = [0] * (int(last / every) + 1)
        for when, *_ in self.guesses:
            counts[int(when / every)] += 1
        took = sorted(seconds for _, seconds in self.owners)
        return [
            f"guesses in each {every:g} s: {counts}",
            f"the last after {last:.1f} s",
            f"owners: {len(took)}; median, p99 and longest login in ms: "
            + ", ".join(f"{took[at] * 1000:.0f}" for at in (len(took) // 2, len(took) * 99 // 100, -1)),
        ]


def attacker(number):
    return f"203.0.{113 + number // 250}.{number % 250 + 1}"


def owner(number):
    return f"198.{51 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
