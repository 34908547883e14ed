from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance import xmp
from provenance.disclosure import DisclosureFields
from tests.provenance.pictures import NOW

PRINTABLE = st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable() and text.strip() == text)


@given(provider=PRINTABLE, unique_id=PRINTABLE)
def test_what_is_written_is_read_back(provider: str, unique_id: str) -> None:
    fields = DisclosureFields(provider, "Imprimatur", "0.1.0", NOW, unique_id)

    found = xmp.properties(xmp.packet(fields))

    assert found[xmp.PHOTOSHOP, "Credit"] == [provider]
    assert found[xmp.DC, "identifier"] == [unique_id]
    assert found[xmp.AIGC, "AIGC"] == [fields.aigc_label]
    assert found[xmp.IPTC_EXTENSION, "DigitalSourceType"] == [fields.digital_source_type]


def packet(inside: str) -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{xmp.RDF}">'
        f'<rdf:Description xmlns:e="{xmp.IPTC_EXTENSION}" {inside}</rdf:RDF></x:xmpmeta>'
    ).encode()


@pytest.mark.parametrize(
    "inside",
    [
        'e:DigitalSourceType="uri:x"/>',
        "><e:DigitalSourceType>uri:x</e:DigitalSourceType></rdf:Description>",
        '><e:DigitalSourceType rdf:resource="uri:x"/></rdf:Description>',
        "><e:DigitalSourceType><rdf:Bag><rdf:li>uri:x</rdf:li></rdf:Bag></e:DigitalSourceType></rdf:Description>",
    ],
)
def test_every_way_to_write_a_property_is_read(inside: str) -> None:
    assert xmp.properties(packet(inside))[xmp.IPTC_EXTENSION, "DigitalSourceType"] == ["uri:x"]


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><a/>',
        b"<a>&undefined;</a>",
        b"<a><b></a>",
        b"",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="no-such-encoding"?><a/>',
        b"<a>" * 100 + b"</a>" * 100,
        b"<a>" + b"<b>x</b>" * 5000 + b"</a>",
        b"<a>" + b" " * (xmp.MAX_PACKET_BYTES + 1) + b"</a>",
    ],
)
def test_packets_that_ask_for_more_than_text_are_refused(data: bytes) -> None:
    with pytest.raises(xmp.UnreadablePacketError):
        xmp.properties(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        xmp.properties(data)
    except xmp.UnreadablePacketError:
        return


def test_text_in_several_pieces_is_one_value() -> None:
    found = xmp.properties(packet("><e:Text>a &amp; b &lt;c&gt;</e:Text></rdf:Description>"))
    assert found[xmp.IPTC_EXTENSION, "Text"] == ["a & b <c>"]
