"""Tables that come from outside and go there: CSV and XLSX, with nothing in them but text. Imports no Django."""
