"""The tools: everything that touches the world. Each meets a Protocol of `chat.application.ports`, or is handed in."""
