"""Many phones from a table: plan, preview, apply all or nothing, undo; and the same columns out again."""
