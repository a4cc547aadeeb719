-- When do people buy? Tickets first sold in each hour (UTC), the newest hour first, and how many of them changed hands since.
select
    date_trunc('hour', created_at)                           as sold_in_hour,
    count(*)                                                 as tickets_sold,
    sum(case when updated_at > created_at then 1 else 0 end) as changed_hands,
    sum(ticket_price)                                        as revenue
from public.sport_event_activity
group by date_trunc('hour', created_at)
order by sold_in_hour desc
limit 48;
