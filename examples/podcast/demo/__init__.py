"""The demo episode and the script that makes it."""
