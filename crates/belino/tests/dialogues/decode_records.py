#!/usr/bin/env python3
"""Reads charging records in BER with pyasn1 and prints them as the JSON lines that Belino writes.

The schema below is written after mm4-records.asn and shares no code with the encoder. Debian: apt-get install python3-pyasn1
"""
import json
import sys

from pyasn1.codec.ber import decoder
from pyasn1.type import char, namedtype, namedval, tag, univ


def ctx(number, constructed=False):
    form = tag.tagFormatConstructed if constructed else tag.tagFormatSimple
    return tag.Tag(tag.tagClassContext, form, number)


def field(number, name, kind, optional=False, explicit=False, constructed=False):
    how = dict(explicitTag=ctx(number, True)) if explicit else dict(implicitTag=ctx(number, constructed))
    which = namedtype.OptionalNamedType if optional else namedtype.NamedType
    return which(name, kind.subtype(**how))


class Octets(univ.OctetString):
    pass


class TimeStamp(univ.OctetString):
    pass


class Msisdn(univ.OctetString):
    pass


def words(base, *pairs):
    class Words(base):
        namedValues = namedval.NamedValues(*pairs)

    return Words


CLASS = words(univ.Enumerated, ("personal", 0), ("advertisement", 1), ("information-service", 2), ("auto", 3))
PRIORITY = words(univ.Enumerated, ("low", 0), ("normal", 1), ("high", 2))
KIND = words(univ.Enumerated, ("to", 0), ("cc", 1), ("bcc", 2))
STATUS = words(
    univ.Integer,
    ("ok", 0),
    ("unspecified", 4),
    ("service-denied", 30),
    ("message-format-corrupt", 31),
    ("sending-address-unresolved", 32),
    ("message-not-found", 33),
    ("network-problem", 34),
    ("content-not-accepted", 35),
    ("unsupported-message", 36),
)
FATE = words(
    univ.Enumerated,
    ("retrieved", 0),
    ("forwarded", 1),
    ("expired", 2),
    ("rejected", 3),
    ("deferred", 4),
    ("unrecognised", 5),
    ("read", 6),
    ("deletedWithoutBeingRead", 7),
)


class Rs(univ.Sequence):
    componentType = namedtype.NamedTypes(field(0, "domainName", Octets()))


class Data(univ.Choice):
    componentType = namedtype.NamedTypes(
        field(0, "eMail", Octets()), field(1, "mSISDN", Msisdn()), field(2, "shortCode", Octets())
    )


class Kinds(univ.SequenceOf):
    componentType = KIND()


class Agent(univ.Sequence):
    componentType = namedtype.NamedTypes(
        field(0, "data", Data(), explicit=True), field(1, "recipientType", Kinds(), optional=True, constructed=True)
    )


class Agents(univ.SetOf):
    componentType = Agent()


class Wait(univ.Choice):
    componentType = namedtype.NamedTypes(field(0, "httpDate", TimeStamp()))


def rs(number, name):
    return field(number, name, Rs(), optional=True, constructed=True)


def agent(number, name, optional=False):
    return field(number, name, Agent(), optional=optional, constructed=True)


def agents(number, name, optional=False):
    return field(number, name, Agents(), optional=optional, constructed=True)


def record(*fields):
    class Record(univ.Set):
        componentType = namedtype.NamedTypes(*fields)

    return Record


def forward(first, second, answered):
    late = 2 if answered else 0
    middle = [field(17, "requestStatusCode", STATUS()), field(18, "statusText", Octets())] if answered else []
    return record(
        field(0, "recordType", univ.Integer()),
        rs(1, first),
        rs(2, second),
        field(3, "messageID", Octets()),
        field(4, "mms3GPPVersion", Octets(), optional=True),
        agent(5, "originatorAddress"),
        agents(6, "recipientAddresses"),
        field(7, "contentType", Octets()),
        field(9, "messageSize", univ.Integer()),
        field(10, "messageClass", CLASS(), optional=True),
        field(11, "submissionTime", TimeStamp()),
        field(12, "timeOfExpiry", Wait(), optional=True, explicit=True),
        field(13, "deliveryReportRequested", univ.Boolean()),
        field(14, "priority", PRIORITY(), optional=True),
        field(15, "senderVisibility", univ.Boolean()),
        field(16, "readReplyRequested", univ.Boolean()),
        *middle,
        field(17 + late, "acknowledgementRequest", univ.Boolean()),
        field(18 + late, "forwardCounter", univ.Integer(), optional=True),
        agents(19 + late, "forwardingAddress", optional=True),
        field(20 + late, "recordTimeStamp", TimeStamp()),
        field(21 + late, "localSequenceNumber", univ.Integer()),
    )


def answer(first, second):
    return record(
        field(0, "recordType", univ.Integer()),
        rs(1, first),
        rs(2, second),
        field(3, "messageID", Octets()),
        field(4, "mms3GPPVersion", Octets(), optional=True),
        field(5, "requestStatusCode", STATUS(), optional=True),
        field(6, "statusText", Octets(), optional=True),
        field(7, "recordTimeStamp", TimeStamp(), optional=True),
        field(8, "localSequenceNumber", univ.Integer()),
    )


def report(code, recipient):
    return record(
        field(0, "recordType", univ.Integer()),
        rs(1, RECIPIENT),
        rs(2, ORIGINATOR),
        field(3, "messageID", Octets()),
        field(4, "mms3GPPVersion", Octets(), optional=True),
        agent(5, "originatorAddress"),
        recipient,
        field(7, "mmDateAndTime", TimeStamp(), optional=True),
        field(8, "acknowledgementRequest", univ.Boolean()),
        field(9, code, FATE(), optional=True),
        field(10, "statusText", Octets(), optional=True),
        field(11, "recordTimeStamp", TimeStamp(), optional=True),
        field(12, "localSequenceNumber", univ.Integer()),
    )


ORIGINATOR, RECIPIENT = "originatorMmsRSAddress", "recipientMmsRSAddress"
PLAIN_REPORT = report("mmStatusCode", agent(6, "recipientAddress"))
RECORDS = {
    31: ("MMO4FRq", forward(ORIGINATOR, RECIPIENT, False)),
    32: ("MMO4FRs", answer(ORIGINATOR, RECIPIENT)),
    33: ("MMO4D", PLAIN_REPORT),
    35: ("MMO4R", report("readStatus", agents(6, "recipientAddresses", optional=True))),
    38: ("MMR4F", forward(RECIPIENT, ORIGINATOR, True)),
    43: ("MMR4DRq", PLAIN_REPORT),
    44: ("MMR4DRs", answer(RECIPIENT, ORIGINATOR)),
    46: ("MMR4RRq", PLAIN_REPORT),
    47: ("MMR4RRs", answer(RECIPIENT, ORIGINATOR)),
}


def time(octets):
    digits = octets[:6].hex()
    assert len(octets) == 9 and octets[6:] == b"+\0\0", octets
    year, month, day, hour, minute, second = (digits[i : i + 2] for i in range(0, 12, 2))
    return f"20{year}-{month}-{day}T{hour}:{minute}:{second}Z"


def msisdn(octets):
    digits = "".join(f"{o & 15:x}{o >> 4:x}" for o in octets[1:]).rstrip("f")
    return ("+" if octets[0] == 0x91 else "") + digits


def plain(value):
    """The JSON of a decoded value."""
    if isinstance(value, TimeStamp):
        return time(bytes(value))
    if isinstance(value, Msisdn):
        return msisdn(bytes(value))
    if isinstance(value, univ.OctetString):
        return bytes(value).decode()
    if isinstance(value, univ.Boolean):
        return bool(value)
    if isinstance(value, univ.Integer):
        return value.namedValues.getName(value) if value.namedValues else int(value)
    if isinstance(value, Agent):
        said = {value["data"].getName(): plain(value["data"].getComponent())}
        if value["recipientType"].isValue and len(value["recipientType"]):
            said["recipientType"] = plain(value["recipientType"][0])
        return said
    if isinstance(value, (univ.SequenceOf, univ.SetOf)):
        return [plain(one) for one in value]
    if isinstance(value, univ.Choice):
        return {value.getName(): plain(value.getComponent())}
    return {name: plain(value[name]) for name in value if value[name].isValue}


def main():
    for file in sys.argv[1:]:
        with open(file, "rb") as opened:
            rest = opened.read()
        while rest:
            assert rest[0] == 0xBF, f"{file}: a record begins with {rest[0]:#x}"
            name, schema = RECORDS[rest[1]]
            spec = schema().subtype(implicitTag=ctx(rest[1], True))
            value, rest = decoder.decode(rest, asn1Spec=spec)
            print(json.dumps({"record": name, **plain(value)}))


main()
