"""Makes an XMP packet of IPTC's digital source type: a trained model made the picture, or a part of it.

Knows the words; how they get into a file is in `xmp_files`. Imports nothing heavy.
"""

from __future__ import annotations

from typing import Literal

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED: SourceType = "trainedAlgorithmicMedia"  # all of it
COMPOSITE: SourceType = "compositeWithTrainedAlgorithmicMedia"  # a part was painted into a photo
SOURCE_TYPES = (GENERATED, COMPOSITE)
PNG_KEY = "XML:com.adobe.xmp"  # of the text chunk with a packet
# A1111 hands it to Pillow as plain text, which becomes the right chunk only since the mark at its start is no Latin-1
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="{}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


def address(kind: SourceType) -> str:
    """The address by which IPTC calls a source type."""
    return _VOCABULARY + kind


def packet(kind: SourceType = GENERATED) -> str:
    """The XMP packet that says it."""
    return _PACKET.format(address(kind))


def says_generated(text: str) -> bool:
    """Whether an XMP packet, or another text of a picture file, names one of these source types."""
    return any(f"/{kind}" in text for kind in SOURCE_TYPES)
