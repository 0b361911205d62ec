"""What is true and what follows from it: pure types and decisions. No asyncio, clock, log or I/O."""
