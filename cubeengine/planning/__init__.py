"""Planning: from names to decided work, without opening data."""
