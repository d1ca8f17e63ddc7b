"""Net benefit and operating points."""
