"""Which entry a client certificate is for: rules as in certmap.conf, one block for each issuer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from attrs import define, field, frozen
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from mmp.errors import ConfigError

_TYPES: Final[Mapping[str, ObjectIdentifier]] = {
    "c": NameOID.COUNTRY_NAME,
    "cn": NameOID.COMMON_NAME,
    "dc": NameOID.DOMAIN_COMPONENT,
    "e": NameOID.EMAIL_ADDRESS,
    "email": NameOID.EMAIL_ADDRESS,
    "emailaddress": NameOID.EMAIL_ADDRESS,
    "givenname": NameOID.GIVEN_NAME,
    "l": NameOID.LOCALITY_NAME,
    "mail": NameOID.EMAIL_ADDRESS,
    "o": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "serialnumber": NameOID.SERIAL_NUMBER,
    "sn": NameOID.SURNAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "street": NameOID.STREET_ADDRESS,
    "title": NameOID.TITLE,
    "uid": NameOID.USER_ID,
}
"""Types of what is in a name, as they are spelled in such files and in directories."""
_DIRECTORY_NAMES: Final = {"e": "mail", "email": "mail", "emailaddress": "mail"}
"""What directories call those that they know by another name."""
_TO_ESCAPE: Final = re.compile(r'(^[ #]|[,+"\\<>;=]| $)')


@frozen
class Component:
    """A type of what is in the subject, and the attribute of the directory that it is compared with."""

    type: ObjectIdentifier
    attribute: str

    @classmethod
    def parse(cls, text: str) -> Component:
        """Read TYPE or TYPE=ATTRIBUTE; ValueError if there is no such type."""
        name, _, attribute = (part.strip() for part in text.partition("="))
        if name.lower() not in _TYPES:
            raise ValueError(f"{name!r} is none of {', '.join(_TYPES)}")
        attribute = attribute or _DIRECTORY_NAMES.get(name.lower(), name)
        if not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", attribute):
            raise ValueError(f"{attribute!r} is no attribute's name")
        return cls(_TYPES[name.lower()], attribute)


@frozen
class Query:
    """What to search for: entries that have, of each attribute, any of its values.

    They are below ``base``, or everywhere if that is empty; with ``alone`` it is the entry of that name, or none.
    """

    base: str
    wanted: tuple[tuple[str, tuple[str, ...]], ...]
    alone: bool = False


@frozen
class Rule:
    """One block. ``base`` is None where the subject itself is the entry's name."""

    base: tuple[Component, ...] | None = None
    filter: tuple[Component, ...] = ()
    subject_attribute: str = ""
    verify: bool = False

    def queries(self, certificate: x509.Certificate) -> Iterator[Query]:
        """Yield what to search for, one after the other until something is found."""
        subject = certificate.subject
        if self.subject_attribute:
            yield Query("", ((self.subject_attribute, (_whole(subject),)),))
        found = [_wanted(certificate, each) for each in self.filter]
        if not all(found):
            return  # the certificate does not say what the rule goes by
        wanted = tuple(pair for pairs in found for pair in pairs)
        if self.base is None:
            yield Query(_whole(subject), wanted, alone=True)
        elif base := render(subject, self.base):
            yield Query(base, wanted, alone=not wanted)
        elif not self.base:
            yield Query("", wanted)


BY_MAIL: Final = Rule(base=(), filter=(Component(NameOID.EMAIL_ADDRESS, "mail"),))
"""The rule where there is no file: the e-mail address in the certificate is that of the entry."""


@frozen
class CertificateMap:
    """The rules by issuer, and the one for all others, if any."""

    by_issuer: Mapping[x509.Name, Rule] = field(factory=dict)
    default: Rule | None = BY_MAIL

    @classmethod
    def parse(cls, octets: bytes) -> CertificateMap:
        """Read a file; ConfigError with every mistake in it."""
        reading = _Reading()
        for number, line in enumerate(octets.decode("utf-8", "replace").splitlines(), 1):
            text = line.strip()
            if text and not text.startswith("#"):
                try:
                    reading.line(text)
                except ValueError as error:
                    reading.mistakes.append(f"line {number}: {error}")
        return reading.result()

    def rule(self, certificate: x509.Certificate) -> Rule | None:
        """Return the rule for a certificate."""
        return self.by_issuer.get(canonical(certificate.issuer), self.default)


@define
class _Block:
    issuer: x509.Name | None
    properties: dict[str, str] = field(factory=dict)

    def rule(self) -> Rule:
        own = self.properties
        base = _components(own["dncomps"]) if "dncomps" in own else None
        filter_ = _components(own.get("filtercomps", ""))
        if base == () and not filter_ and not own.get("cmapldapattr"):
            raise ValueError("with an empty DNComps and no FilterComps every entry would match")
        return Rule(base, filter_, own.get("cmapldapattr", ""), own.get("verifycert", "off").lower() == "on")


@define
class _Reading:
    blocks: dict[str, _Block] = field(factory=dict)
    mistakes: list[str] = field(factory=list)

    def line(self, text: str) -> None:
        if match := re.fullmatch(r"certmap\s+([^\s:]+)\s+(.+)", text, re.IGNORECASE):
            self._begin(match[1], match[2])
        elif match := re.fullmatch(r"([^\s:]+):\s*([A-Za-z]+)\s*(.*)", text):
            self._property(match[1], match[2].lower(), match[3])
        else:
            raise ValueError('is neither "certmap NAME ISSUER" nor "NAME:PROPERTY VALUE"')

    def _begin(self, name: str, issuer: str) -> None:
        if name.lower() in self.blocks:
            raise ValueError(f"{name} is there already")
        self.blocks[name.lower()] = _Block(None if name.lower() == "default" else canonical(parse_name(issuer)))

    def _property(self, name: str, key: str, value: str) -> None:
        if name.lower() not in self.blocks:
            raise ValueError(f"there is no certmap {name} above")
        if key not in {"dncomps", "filtercomps", "cmapldapattr", "verifycert"}:
            raise ValueError(f"{key} is none of DNComps, FilterComps, CmapLdapAttr and verifycert")
        _components(value if key.endswith("comps") else "")
        if key == "verifycert" and value.lower() not in {"on", "off", ""}:
            raise ValueError("verifycert is on or off")
        if key == "cmapldapattr" and value and not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", value):
            raise ValueError(f"{value!r} is no attribute's name")
        self.blocks[name.lower()].properties[key] = value

    def result(self) -> CertificateMap:
        rules: dict[x509.Name | None, Rule] = {}
        for name, block in self.blocks.items():
            try:
                rule = block.rule()
            except ValueError as error:
                self.mistakes.append(f"certmap {name}: {error}")
                continue
            if block.issuer in rules:
                self.mistakes.append(f"certmap {name}: its issuer has another certmap")
            rules[block.issuer] = rule
        if not self.blocks and not self.mistakes:
            self.mistakes.append("has no certmap")
        if self.mistakes:
            raise ConfigError(self.mistakes)
        default = rules.pop(None, None)
        return CertificateMap({issuer: rule for issuer, rule in rules.items() if issuer is not None}, default)


def _components(text: str) -> tuple[Component, ...]:
    return tuple(Component.parse(part) for part in re.split(r"\s*,\s*|\s+", text.strip()) if part)


def parse_name(text: str) -> x509.Name:
    """Read a distinguished name, spaces around its commas or not; ValueError if it is none."""
    close = re.sub(r"\s*(?<!\\)([,+=])\s*", r"\1", text.strip())
    upper = re.sub(r"(?:^|(?<!\\)[,+])[A-Za-z]+=", lambda found: found[0].upper(), close)
    try:
        return x509.Name.from_rfc4514_string(upper, {name.upper(): kind for name, kind in _TYPES.items()})
    except ValueError:
        raise ValueError(f"{text!r} is not a distinguished name") from None


def canonical(name: x509.Name) -> x509.Name:
    """Return a name in the form in which equal ones are equal: letters' case and blanks do not count."""
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(each.oid, _folded(each.value), _validate=False) for each in relative
        )
        for relative in name.rdns
    )


def _folded(value: str | bytes) -> str:
    text = value if isinstance(value, str) else value.decode("latin-1")
    return " ".join(text.split()).casefold()


def _wanted(certificate: x509.Certificate, component: Component) -> list[tuple[str, tuple[str, ...]]]:
    """Return what the certificate says of this type: all that is in its subject.

    Where that has no e-mail address, any of those counts that it has as alternative names.
    """
    values = [str(each.value) for each in certificate.subject.get_attributes_for_oid(component.type)]
    if values or component.type != NameOID.EMAIL_ADDRESS:
        return [(component.attribute, (value,)) for value in values]
    addresses = _addresses(certificate)
    return [(component.attribute, tuple(addresses))] if addresses else []


def _addresses(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return list(extension.value.get_values_for_type(x509.RFC822Name))


def render(subject: x509.Name, components: Sequence[Component]) -> str:
    """Return what is in a subject of these types, as a directory writes names (RFC 4514, 2)."""
    names = {each.type: each.attribute for each in components}
    parts = []
    for relative in reversed(subject.rdns):
        pairs = [f"{names[each.oid]}={_escaped(str(each.value))}" for each in relative if each.oid in names]
        parts += ["+".join(pairs)] if pairs else []
    return ",".join(parts)


def _whole(subject: x509.Name) -> str:
    return subject.rfc4514_string({NameOID.EMAIL_ADDRESS: "mail", NameOID.USER_ID: "uid"})


def _escaped(value: str) -> str:
    return _TO_ESCAPE.sub(r"\\\1", value).replace("\0", r"\00")
