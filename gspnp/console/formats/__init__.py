"""How the admin writes times; settings.FORMAT_MODULE_PATH leads here."""
