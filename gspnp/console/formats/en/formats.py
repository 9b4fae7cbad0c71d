"""A time names its zone, which is the server's: whoever reads it may sit in another one."""

DATETIME_FORMAT = "Y-m-d H:i:s T"
SHORT_DATETIME_FORMAT = "Y-m-d H:i T"
