"""The pieces that attribution methods are made of; this package knows no method's name."""
