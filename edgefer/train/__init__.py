"""Training: recipes as data, the loop on Lightning Fabric, evaluation, and the pictures of both."""
