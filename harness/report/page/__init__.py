"""report.html and trends.html: each one file that works offline."""
