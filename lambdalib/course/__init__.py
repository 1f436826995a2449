"""What the lessons share: checks, questions, examples, figures, widgets. Taught in notebooks/00_start_here."""
