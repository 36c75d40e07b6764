"""One module for each verb of the command line: reads its arguments, calls the floor that does the work."""
