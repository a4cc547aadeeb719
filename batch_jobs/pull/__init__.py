"""Increments out of Redshift, for a puller such as Fivetran: a Lambda function, and a puller of our own."""
