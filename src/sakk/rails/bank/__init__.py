"""Banks: what their files say, and how files go to them and come from them."""
