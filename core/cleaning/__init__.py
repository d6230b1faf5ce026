"""What tasks that have ended leave behind, and how it goes: by an event of each task's own."""
