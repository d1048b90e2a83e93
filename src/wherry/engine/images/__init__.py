"""Images: names and contents of the image store in Docker's words."""
