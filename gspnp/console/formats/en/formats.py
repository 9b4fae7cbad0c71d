"""A time names its zone: the reader's, or the server's if the browser has not said which that is."""

DATETIME_FORMAT = "Y-m-d H:i:s T"
SHORT_DATETIME_FORMAT = "Y-m-d H:i T"
