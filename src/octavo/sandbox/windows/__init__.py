"""The Windows sandbox. The modules named in the import contract as minds run on every system."""
