"""The page in a real browser, with the real engine behind it."""
