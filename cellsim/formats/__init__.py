"""The field's own file formats, one module each."""
