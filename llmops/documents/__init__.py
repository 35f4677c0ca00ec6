"""Files in a folder -> `Document` -> `Chunk`."""
