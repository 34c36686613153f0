"""The compiled SQL on every engine that runs here, through the adapters that production uses."""
