"""The SIP multicast side: it hears phones announce themselves and tells them where their configuration is."""
