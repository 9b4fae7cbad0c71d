"""A SIP codec: bytes to messages and back. No sockets, no clock, no framework; it obeys RFC 3261."""
