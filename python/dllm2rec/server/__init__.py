"""A server of an export: answers over HTTP, and a page to try it."""
