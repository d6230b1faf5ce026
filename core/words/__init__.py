"""Facts in words, the same for every screen: verbs, `evq top` and the dashboard."""
