"""A data mart for serving: the rows of each key of a Redshift table or query as one item of a DynamoDB table."""
