"""One module for each verb of the command line: reads its arguments and calls the floor that does the work."""
