"""Parts of a spec in general: frozen models checked at birth, problems told plainly, names and amounts."""
