"""spec/text/life.md: connections that come, go, and share a server; what must not leak; and comm.md."""
