"""What an attempt may use of its machine, and how it is known that it wanted more memory."""
