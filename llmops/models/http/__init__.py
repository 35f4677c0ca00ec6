"""An engine over HTTP: the server, what goes over the wire, and what is done when it fails."""
