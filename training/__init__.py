"""Training, export and evaluation: Hydra entry points over plain functions (torch, Lightning, LightGBM live here)."""
