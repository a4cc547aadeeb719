-- One day's sales by sport, computed anew: a run that is repeated, or that comes late, gives the same rows.
create table if not exists public.daily_sales (
    day           date not null,
    sport_type    varchar(60) not null,
    tickets       bigint not null,
    buyers        bigint not null,
    events        bigint not null,
    revenue       decimal(18, 2) not null,
    average_price decimal(18, 2)
) diststyle all sortkey (day, sport_type);

delete from public.daily_sales where day = :day::date;

insert into public.daily_sales
select
    cast(created_at as date),
    coalesce(sport_type, 'unknown'),
    count(*),
    count(distinct purchased_by),
    count(distinct event_id),
    coalesce(sum(ticket_price), 0),
    cast(avg(ticket_price) as decimal(18, 2))
from public.sport_event_activity
where created_at >= :day::date and created_at < dateadd(day, 1, :day::date)
group by 1, 2;
