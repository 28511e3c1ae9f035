"""The nouns: values only. Nothing here does anything but hold, name and bound what the chat speaks of."""
