"""The composition root: settings, doors and the console; it imports all others and nobody imports it."""
