"""Reads and checks apps/, variants/ and calibration/."""
