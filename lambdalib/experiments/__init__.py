"""What was run and what came out. Taught in notebooks/09_what_the_lambda_is_worth."""
