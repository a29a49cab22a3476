"""What can be done with a finished policy: talk to it, serve it, hand it on."""
