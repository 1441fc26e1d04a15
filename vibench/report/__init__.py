"""What people look at: the HTML page of all boards with its charts, and pictures of single runs."""
