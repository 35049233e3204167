"""The study: every figure and table by one command, `python -m experiments NAME`.

What is swept is said in TOML (`specs/`, `specs/quick/`) and run by the sweep engine; a module
per experiment turns the results into a figure and a table.
"""
