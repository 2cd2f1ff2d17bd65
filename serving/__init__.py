"""The service: a bundle behind Ray Serve and HTTP. It never imports torch, Lightning or training."""

from __future__ import annotations
