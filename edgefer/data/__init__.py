"""Readers for facial-expression data sets, packing, and auditing. numpy and OpenCV only."""

from edgefer.data.audit import audit
from edgefer.data.audit_report import AuditReport
from edgefer.data.dataset import SPLITS, Dataset, Face
from edgefer.data.pack import pack
from edgefer.data.packed import Packed
from edgefer.data.registry import DATASETS, load

__all__ = ["AuditReport", "DATASETS", "SPLITS", "Dataset", "Face", "Packed", "audit", "load", "pack"]
