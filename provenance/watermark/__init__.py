"""The invisible mark: 64 bits that lead from pixels back to a record. `lattice_mark.LatticeMark` is built in."""

from __future__ import annotations

from provenance.watermark.mark import Detection, Geometry, Watermark, WatermarkKey
from provenance.watermark.payload import RecordMark

__all__ = ["Detection", "Geometry", "RecordMark", "Watermark", "WatermarkKey"]
