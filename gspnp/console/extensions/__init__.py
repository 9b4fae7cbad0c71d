"""The directory of extensions in the console: its pages, its files, and the look-up while somebody assigns a phone."""
