"""What all other folders share without knowing each other, and what knows none of them."""
