"""The store and its connections: what a service uses. Imports the driver, and no other room."""
