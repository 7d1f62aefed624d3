"""What a person writes: frozen pydantic models that refuse unknown keys."""
