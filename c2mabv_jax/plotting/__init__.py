"""Pictures of results: column width, units on every axis, colours that survive colour blindness."""
