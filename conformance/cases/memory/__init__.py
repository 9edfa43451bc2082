"""spec/text/buffers.md and handles.md: devices, buffers, and what a handle is good for."""
