"""Questions put to models, and the pages made of the answers."""
