"""What two ends of a tunnel say to each other, and how much may be on the way: pure."""
