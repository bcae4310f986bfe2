"""LDAP messages as ldap3 and pyasn1 write and read them: what our own codec is measured by."""

from ldap3.protocol.rfc4511 import (
    LDAPOID,
    AttributeDescription,
    AttributeValue,
    BindResponse,
    Control,
    ControlValue,
    Criticality,
    ExtendedResponse,
    LDAPMessage,
    MessageID,
    PartialAttribute,
    PartialAttributeList,
    ProtocolOp,
    ResponseName,
    ResultCode,
    SearchResultDone,
    SearchResultEntry,
    SearchResultReference,
    Vals,
)
from ldap3.utils.asn1 import encode
from pyasn1.codec.ber import decoder

NOTICE = "1.3.6.1.4.1.1466.20036"


def entry(number, name, attributes):
    """Return a message with an entry; the values are octets."""
    found = SearchResultEntry()
    found["object"] = name
    listed = PartialAttributeList()
    for place, (attribute, values) in enumerate(attributes.items()):
        partial = PartialAttribute()
        partial["type"] = AttributeDescription(attribute)
        vals = Vals()
        for index, value in enumerate(values):
            vals[index] = AttributeValue(value)
        partial["vals"] = vals
        listed[place] = partial
    found["attributes"] = listed
    return _message(number, "searchResEntry", found)


def done(number, code=0, diagnostic=""):
    """Return a message that ends a search."""
    return _message(number, "searchResDone", _result(SearchResultDone(), code, diagnostic))


def bound(number, code=0, diagnostic="", controls=()):
    """Return the answer to a bind, with controls as pairs of a name and a value, in octets."""
    return _message(number, "bindResponse", _result(BindResponse(), code, diagnostic), controls)


def policy(value):
    """Return the control by which the password policy speaks; the value is its content in hexadecimal."""
    return ("1.3.6.1.4.1.42.2.27.8.5.1", bytes.fromhex(value))


def extended(number, code=0, diagnostic="", name=""):
    """Return the answer to an extended operation, or with number 0 a notification."""
    response = _result(ExtendedResponse(), code, diagnostic)
    if name:
        response["responseName"] = ResponseName(name)
    return _message(number, "extendedResp", response)


def reference(number, url):
    """Return a message that points a search elsewhere."""
    urls = SearchResultReference()
    urls[0] = url
    return _message(number, "searchResRef", urls)


def read(octets):
    """Return the messages in octets, as (number, name of the operation, the operation)."""
    messages = []
    while octets:
        message, octets = decoder.decode(octets, asn1Spec=LDAPMessage())
        operation = message["protocolOp"]
        messages.append((int(message["messageID"]), operation.getName(), operation.getComponent()))
    return messages


def _result(response, code, diagnostic):
    response["resultCode"] = ResultCode(code)
    response["matchedDN"] = ""
    response["diagnosticMessage"] = diagnostic
    return response


def _message(number, name, operation, controls=()):
    message = LDAPMessage()
    for place, (oid, value) in enumerate(controls):
        control = Control()
        control["controlType"] = LDAPOID(oid)
        control["criticality"] = Criticality(value=False)
        control["controlValue"] = ControlValue(value)
        message["controls"][place] = control
    message["messageID"] = MessageID(number)
    message["protocolOp"] = ProtocolOp().setComponentByName(name, operation)
    return bytes(encode(message))
