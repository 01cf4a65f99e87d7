"""Reading and writing files. Everything here is imported when it is first used: NumPy and the standard library only."""
