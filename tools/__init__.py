"""What makes files of this project from others, and looks for faults in them."""
