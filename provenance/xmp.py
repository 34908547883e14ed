"""XMP packets (ISO 16684-1): writing ours, and reading a stranger's without giving XML its usual powers."""

from __future__ import annotations

from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from provenance.disclosure import DisclosureFields

MAX_PACKET_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_PROPERTIES: Final = 4096

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC_EXTENSION: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
AIGC: Final = "http://www.tc260.org.cn/ns/AIGC/1.0/"
XMP: Final = "http://ns.adobe.com/xap/1.0/"
DC: Final = "http://purl.org/dc/elements/1.1/"
PHOTOSHOP: Final = "http://ns.adobe.com/photoshop/1.0/"
XML: Final = "http://www.w3.org/XML/1998/namespace"

# (namespace, local name) → values, in document order
Properties = dict[tuple[str, str], list[str]]


class UnreadablePacketError(ValueError):
    """The bytes are no XMP packet that we are willing to parse."""


def packet(disclosure: DisclosureFields) -> bytes:
    """The XMP packet with the disclosure fields, in UTF-8, read-only (no padding: a credential follows)."""
    properties = (
        ("Iptc4xmpExt:DigitalSourceType", disclosure.digital_source_type),
        ("Iptc4xmpExt:AISystemUsed", disclosure.system),
        ("Iptc4xmpExt:AISystemVersionUsed", disclosure.version),
        ("photoshop:Credit", disclosure.provider),
        ("xmp:CreatorTool", f"{disclosure.system} {disclosure.version}"),
        ("xmp:CreateDate", disclosure.created_at_text),
        ("dc:identifier", disclosure.unique_id),
        ("TC260:AIGC", disclosure.aigc_label),
    )
    body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in properties)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:xmp="{XMP}" xmlns:dc="{DC}" xmlns:photoshop="{PHOTOSHOP}" '
        f'xmlns:Iptc4xmpExt="{IPTC_EXTENSION}" xmlns:TC260="{AIGC}">{body}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def properties(data: bytes) -> Properties:
    """Every property of a packet, flattened: the text of containers (`rdf:li`) counts for the property around them.

    No document type, entity, or external reference is accepted. Raises `UnreadablePacketError`.
    """
    if len(data) > MAX_PACKET_BYTES:
        raise UnreadablePacketError(f"an XMP packet of {len(data)} bytes; at most {MAX_PACKET_BYTES} are read")
    collector = _Collector()
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data.rstrip(b"\0 \r\n\t"), True)
    except (ExpatError, ValueError, LookupError) as error:
        raise UnreadablePacketError(str(error)) from error
    return collector.found


def _refuse(*_: object) -> int:
    raise UnreadablePacketError("an XMP packet with a document type or an entity declaration")


class _Collector:
    def __init__(self) -> None:
        self.found: Properties = {}
        self._path: list[tuple[str, str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= MAX_DEPTH:
            raise UnreadablePacketError(f"an XMP packet nested more than {MAX_DEPTH} deep")
        element = _split(name)
        self._path.append(element)
        for attribute, value in attributes.items():
            key = _split(attribute)
            if key == (RDF, "resource"):
                self._add(self._property(), value)
            elif key[0] not in (RDF, XML, ""):
                self._add(key, value)

    def end(self, _: str) -> None:
        self._path.pop()

    def text(self, value: str) -> None:
        if value.strip():
            self._add(self._property(), value.strip())

    def _property(self) -> tuple[str, str] | None:
        return next((element for element in reversed(self._path) if element[0] != RDF), None)

    def _add(self, key: tuple[str, str] | None, value: str) -> None:
        self._count += 1
        if self._count > MAX_PROPERTIES:
            raise UnreadablePacketError(f"an XMP packet with more than {MAX_PROPERTIES} values")
        if key is not None:
            self.found.setdefault(key, []).append(value)


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(" ")
    return namespace, local
