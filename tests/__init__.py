"""Tests. Packages, so that what several of them share is imported by one full name: ``tests.tracking.fabricated``."""
