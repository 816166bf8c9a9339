"""Chapters of the stories: each measures one thing, and sets it beside what a paper says of it."""
