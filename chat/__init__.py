"""A self-hosted real-time chat: pure rules in the middle, everything that touches the world around them."""
