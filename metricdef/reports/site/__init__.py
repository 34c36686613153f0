"""The catalogue of a project as a static site: what is shown of definitions, record and readouts, and how it is written."""
