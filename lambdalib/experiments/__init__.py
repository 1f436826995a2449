"""What was run and what came out: rows of the tables, records, comparisons, benchmarks. Taught in notebooks/09_what_the_lambda_is_worth."""
