"""Pellucid and Captum 0.9.0 side by side: names, arguments, values, and what differs on purpose."""
