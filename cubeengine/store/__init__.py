"""The cube on disk: its layout, writing it from many tasks, publishing it, reading it back."""
