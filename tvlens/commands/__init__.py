"""What is typed: each command asks the library, writes files, and prints."""
