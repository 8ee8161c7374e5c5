"""Ray itself: started on this machine or joined, and its nodes asked whether they can work."""
