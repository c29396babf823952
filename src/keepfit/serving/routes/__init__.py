"""The endpoints, a file for each thing that people come for."""
