"""Ray itself: started on this machine or joined, and its nodes checked before packs are sent to them."""
