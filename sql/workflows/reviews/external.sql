-- The files as a table: what Redshift knows of them stands in the Glue Data Catalog, the rows stay in S3.
create external schema if not exists reviews_lake
from data catalog database 'freshet_reviews' iam_role :role
create external database if not exists;

-- Only the description of the files is dropped.
drop table if exists reviews_lake.reviews;

create external table reviews_lake.reviews (
    review_id         varchar(20),
    product_id        varchar(20),
    product_title     varchar(400),
    customer_id       bigint,
    star_rating       integer,
    helpful_votes     integer,
    total_votes       integer,
    verified_purchase boolean,
    review_headline   varchar(400),
    review_body       varchar(16000),
    review_date       date
)
partitioned by (product_category varchar(40))
stored as parquet
location :from;

alter table reviews_lake.reviews add if not exists
partition (product_category = 'Books') location :books
partition (product_category = 'Games') location :games
partition (product_category = 'Kitchen') location :kitchen
partition (product_category = 'Music') location :music;
