"""The command line, one file a command: its name is the file's, and it has ``HELP``, ``add`` (its arguments) and
``run``.

What only a command needs is imported when it runs, so that ``--help`` is quick.
"""
