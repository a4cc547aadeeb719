-- The query of UNLOAD is a string, which takes no parameter: so the day is chosen before.
create temp table unloaded as select * from public.daily_sales where day = :day::date;

unload ('select * from unloaded') to :to iam_role :role
format parquet partition by (sport_type) cleanpath;
