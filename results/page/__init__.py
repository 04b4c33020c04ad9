"""The page of a report: its sentences, and its sections of tables and figures."""
