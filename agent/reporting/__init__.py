"""What a task says, from its pipes and its socket to the telemetry stream: read, redacted, kept
through every outage, sent."""
