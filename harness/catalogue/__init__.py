"""What apps/, variants/ and calibration/ say, read and checked."""
