"""The worker's end of tunnels: from the server to a port of a task that runs here."""
