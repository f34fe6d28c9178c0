"""Problems whose answers, task counts and projected memory stay as they are, whatever moves inside the package."""
