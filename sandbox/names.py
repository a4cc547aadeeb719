"""What the things in a sandbox are called. A product that works against it learns them from `status --json`."""

ACCOUNT = "123456789012"
REGION = "us-east-1"
STREAM = "freshet-changes"
BUCKET = "freshet-staging"
TOKEN_SECRET = "freshet/tokens"  # noqa: S105  # a name, not a secret
MYSQL_SECRET = "freshet/mysql"  # noqa: S105  # a name, not a secret
MYSQL_USER = "freshet"
MYSQL_ADMINISTRATOR = "administrator"
MYSQL_DATABASE = "sports"
COPY_ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/freshet-copy"
ACCESS_KEY = "sandbox"
