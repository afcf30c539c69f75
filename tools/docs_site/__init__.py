"""What mkdocs.yml calls while the documentation is built: pages made from the code, and comments read as docstrings."""
