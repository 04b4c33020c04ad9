"""The leaderboard: one static page of all recorded rows."""
