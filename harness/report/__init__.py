"""Reports of a stored run, one form per file. A report needs only the run folder.

harness/decision/figures.py holds the figures that all forms share; table.py is text for terminal and Markdown.
"""
