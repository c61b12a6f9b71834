"""One command a module, each with a ``command``; imported when it is named."""
