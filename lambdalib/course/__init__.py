"""What the lessons share: checks of exercises, questions, examples, figures, widgets. Taught in notebooks/00_start_here."""
