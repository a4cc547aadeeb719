-- The reviews that most people found helpful, of each category; equal ones in the order of their ids.
create temp table most_helpful as
select product_category, place, review_id, product_id, product_title, star_rating, helpful_votes, total_votes, review_headline,
    review_body, review_date
from (
    select *, row_number() over (
        partition by product_category order by helpful_votes desc, total_votes, review_id
    ) as place
    from public.reviews
) as ranked
where place <= :most::integer;

unload ('select * from most_helpful order by product_category, place') to :to iam_role :role
format parquet partition by (product_category) cleanpath;
