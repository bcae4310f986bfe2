"""Makes a configuration of the older product's files, and says of each option that cannot be carried over why not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import define, field, frozen

from mmp.config.legacy_options import DOMAIN, OPTIONS
from mmp.config.render import document
from mmp.config.schema import OVERRIDABLE, Config
from mmp.config.tables import Reading, keys

SERVICES: Final[Mapping[str, str]] = {
    "ImapProxyAService.cfg": "imap",
    "PopProxyAService.cfg": "pop3",
    "SmtpProxyAService.cfg": "submission",
}
"""The file of each service; AService.cfg is for all of them."""
SHARED: Final = "AService.cfg"
_USUAL_PORTS: Final[Mapping[str, tuple[str, ...]]] = {"imap": ("143", "993"), "pop3": ("110",), "submission": ()}
_LINE: Final = re.compile(r"(?P<section>[^:\s]+):(?P<name>\S+)(?:\s+(?P<value>.*))?")
_VDMAP: Final = re.compile(r"vdmap\s+(?P<name>\S+)\s+(?P<address>\S+)", re.IGNORECASE)


@frozen
class Line:
    """One option of a file."""

    section: str
    name: str
    value: str


def parse(text: str) -> tuple[list[Line], dict[str, str]]:
    """Return a file's options, and the address of each virtual domain by its name."""
    lines, domains = [], {}
    for raw in map(str.strip, text.splitlines()):
        if vdmap := _VDMAP.fullmatch(raw):
            domains[vdmap["name"].lower()] = vdmap["address"]
        elif (option := _LINE.fullmatch(raw)) and not raw.startswith("#"):
            value = (option["value"] or "").strip()
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            lines.append(Line(option["section"].lower(), option["name"], value[1:-1] if quoted else value))
    return lines, domains


def convert(files: Mapping[str, str]) -> str:
    """Return the configuration that these files, by name, amount to; every other file is a vdmap's."""
    conversion = Conversion()
    parsed = {name: parse(text) for name, text in files.items()}
    for name, service in SERVICES.items():
        if name in parsed:
            conversion.options(name, parsed[name][0], service)
    _put(conversion.tables, ["directory", "ldap", "schema"], "1")  # what HostedDomains is where nothing is said
    if SHARED in parsed:
        conversion.options(SHARED, parsed[SHARED][0], "")
    for name, (lines, domains) in parsed.items():
        if domains:
            conversion.virtual_domains(name, lines, domains)
    return conversion.document()


@define
class Conversion:
    """What has been understood so far: values by table, those of one service alone, where it listens, and remarks."""

    tables: dict[str, Any] = field(factory=dict)
    own: dict[str, dict[str, Any]] = field(factory=dict)
    ports: dict[str, list[str]] = field(factory=dict)
    tls: dict[str, bool] = field(factory=dict)
    tls_ports: dict[str, list[str]] = field(factory=dict)
    remarks: list[str] = field(factory=list)

    def options(self, file: str, lines: list[Line], service: str) -> None:
        """Take in the options of a service's file, or of the one for all."""
        for line in lines:
            name, where = line.name.lower(), f"{file}: {line.section}:{line.name}"
            if name == "servicelist":
                self._service_list(line.value)
            elif name == "sslenable":
                self.tls[service] = line.value.lower() in {"yes", "1", "true"}
            elif name == "sslports":
                self.tls_ports[service] = [port.rpartition(":")[2] for port in line.value.split("|")]
            else:
                self._option(where, name, line.value, service)

    def virtual_domains(self, file: str, lines: list[Line], domains: Mapping[str, str]) -> None:
        """Take in what differs by the address that a client reaches."""
        entries: list[dict[str, str]] = []
        for line in lines:
            where, address = f"{file}: {line.section}:{line.name}", domains.get(line.section, "")
            entry = {"address": address, "domain": line.value}
            if line.name.lower() != DOMAIN or not address:
                reason = "give it to a [[listener]] of its own at that address" if address else "no vdmap has this name"
                self.remarks.append(f"{where}: {reason}")
            elif mistake := _mistake({"login": {"default_domains": [entry]}}):
                self.remarks.append(f"{where}: {mistake}")
            else:
                entries.append(entry)
        _put(self.tables, ["login", "default_domains"], entries)

    def _option(self, where: str, name: str, value: str, service: str) -> None:
        option = OPTIONS.get(name, "is not known")
        if isinstance(option, str):
            self.remarks.append(f"{where}: {option}")
            return
        try:
            given = dict(option(value, service))
        except ValueError as error:
            self.remarks.append(f"{where}: {error}")
            return
        for path, converted in given.items():
            self._give(where, path.split("."), converted, service)

    def _give(self, where: str, path: list[str], value: object, service: str) -> None:
        nested: Any = value
        for key in reversed(path):
            nested = {key: nested}
        if mistake := _mistake(nested):
            self.remarks.append(f"{where}: {mistake}")
        elif path[0] == "access" and isinstance(value, list):  # of which each service has its own
            there = _put(self.tables, path, [])
            there += [rule for rule in value if rule not in there]
        elif (there := _put(self.tables, path, value)) == value:
            pass
        elif service and path[0] in OVERRIDABLE.values():
            _put(self.own.setdefault(service, {}), path[1:], value)
        else:
            self.remarks.append(f"{where}: another service has another value, and there is one for all: {there!r}")

    def _service_list(self, text: str) -> None:
        for item in text.split():
            library, _, ports = item.partition("@")
            found = [
                service for file, service in SERVICES.items() if file.removesuffix(".cfg").lower() in library.lower()
            ]
            if not found:
                self.remarks.append(f"{SHARED}: ServiceList: {item} is no service that we have")
                continue
            places = [place for place in ports.split("|") if place and self._can_be_listened_at(place)]
            for service in found:
                self.ports.setdefault(service, []).extend(places)

    def _can_be_listened_at(self, place: str) -> bool:
        if mistake := _mistake({"listener": [_where(place)]}):
            self.remarks.append(f"{SHARED}: ServiceList: {place}: {mistake}")
        return not mistake

    def document(self) -> str:
        """Return the file, with all that is to be done by hand before it."""
        notes = [f"# {_printable(remark)}\n" for remark in (*_FIRST, *self.remarks)]
        return "".join(notes) + "\n" + document(list(self._listeners()), self.tables)

    def _listeners(self) -> Iterator[dict[str, Any]]:
        ports = self.ports or {service: list(usual) for service, usual in _USUAL_PORTS.items()}
        for service, places in ports.items():
            for place in places:
                where = _where(place)
                implicit = str(where["port"]) in self.tls_ports.get(service, ["993", "995", "465"])
                starttls = "starttls" if self.tls.get(service) else "none"
                tls = "implicit" if implicit else starttls
                yield {"service": service, **where, "tls": tls} | self.own.get(service, {})


_FIRST: Final = (
    "Made of the files of another product. What could not be carried over is told in these lines.",
    "Certificates were in a database of NSS: export each with its key to PEM, and give their names to [tls].",
    "CAs of clients' certificates were there, too: export them to PEM for client_ca, if there are any.",
    "Secrets belong in files of their own, with mode 0600: a key that ends in _file names one to be written.",
    "A password is taken in TLS alone, unless restrict_plain_passwords is false.",
)


def _where(place: str) -> dict[str, Any]:
    """Return address, if there is one, and port of a listener; the port is text if it is no number."""
    address, _, port = place.rpartition(":")
    given: dict[str, Any] = {"address": address} if address else {}
    return given | {"port": int(port) if re.fullmatch("[0-9]{1,5}", port) else port}


def _mistake(tables: Mapping[str, Any]) -> str:
    """Return what is wrong with these tables, if anything is."""
    reading = Reading({})
    reading.table(keys(Config), tables, "")
    return str(reading.mistakes[0]) if reading.mistakes else ""


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _put(table: dict[str, Any], path: list[str], value: object) -> Any:
    """Put a value where there is none, and return the one that is there."""
    *above, key = path
    for each in above:
        table = table.setdefault(each, {})
    return table.setdefault(key, value)
