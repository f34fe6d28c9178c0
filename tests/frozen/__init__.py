"""Problems whose answers, task counts and projected memory stay, whatever moves inside the package."""
