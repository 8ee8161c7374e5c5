"""The same work done by this project and by what a user would write instead. Times belong here, never in tests."""
