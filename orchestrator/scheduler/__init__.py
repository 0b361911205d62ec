"""When to look, and the look itself: the loop, what wakes it, and what it keeps between two looks."""
