"""What all pages for people share: one way to render, translate, write amounts and serve files."""
