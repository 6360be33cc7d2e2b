"""What makes two runs the same, where their files lie, what they leave, which are missing."""
