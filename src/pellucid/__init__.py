"""Pellucid explains what PyTorch models base their predictions on."""
