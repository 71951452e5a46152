"""Reports: what a stored run says, one form per file. A report needs the run folder and nothing else.

figures.py holds what all forms share (which figures, their units and digits); table.py is text for terminal and
Markdown.
"""
