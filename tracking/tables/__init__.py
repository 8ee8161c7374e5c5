"""Comparison tables: columns, published figures beside reproduced ones, findings, and their formats."""
