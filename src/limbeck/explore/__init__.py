"""The local page where one moves the paper's parameters. Only `page` and `server` know Dash."""
