"""The stages: open artifacts, call the method, write one artifact. Importable without the command line."""
