"""Speed and memory, measured: seeded problems, the limit, the peers, and us. See README.md."""
