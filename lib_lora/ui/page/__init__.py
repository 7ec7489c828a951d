"""Shows the tab itself, as a page of its own or inside a webui."""
