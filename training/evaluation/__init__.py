"""The evaluation report: what a bundle's scores of one split are worth, for whom, when, and what they rest on.

points -> outcomes -> numbers (curves, alerts, tables, ablations) -> report.json -> page -> report.html and report.md
"""
