"""The flow: what happens in which order, between the doors, the rules and the tools."""
