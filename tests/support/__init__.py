"""What tests share: engines, images, synthetic runs, checkouts, a browser. No tests."""
