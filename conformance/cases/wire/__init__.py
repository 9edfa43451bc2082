"""spec/text/framing.md: bytes on the connection, frames, phases and HELLO."""
