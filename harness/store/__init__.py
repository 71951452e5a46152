"""Run folders: one line per try, never rewritten, and how they are read again."""
