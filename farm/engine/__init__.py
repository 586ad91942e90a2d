"""The engine: pictures and a recipe in, a growing picture out. Knows no database, queue or web."""
