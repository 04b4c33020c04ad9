"""Searches: where their studies are kept, and what the page shows of them."""
